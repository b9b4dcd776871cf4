#!/usr/bin/env bash
# check-glibc.sh CACHE_DIR: builds the client against glibc 2.17 and fails if it needs anything newer or exports anything but cu* and nvml*.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$1 target=build/glibc-2.17
export CARGO_ZIGBUILD_PYTHON_PATH="$cache/zig/bin/python" PATH="$cache/bin:$cache/zig/bin:$PATH"
cargo zigbuild --manifest-path native/Cargo.toml --target-dir "$target" --release --locked --quiet -p aquifer-client --target x86_64-unknown-linux-gnu.2.17
library=$(ls "$target"/x86_64-unknown-linux-gnu/release/lib*.so | head -1)
newest=$(readelf -W --version-info "$library" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
foreign=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | grep -vE '^(cu|nvml)[A-Z]' || true)
passed=0 failed=0
if [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -1)" = GLIBC_2.17 ]; then
  passed=$((passed + 1)); echo "ok: the client needs $newest, not newer than GLIBC_2.17"
else
  failed=$((failed + 1)); echo "the client needs $newest, newer than GLIBC_2.17"
fi
if [ -z "$foreign" ]; then
  passed=$((passed + 1)); echo 'ok: it exports only cu* and nvml*'
else
  failed=$((failed + 1)); echo "it exports more than cu* and nvml*:" $foreign
fi
echo "$passed passed, $failed failed"
((failed == 0))
