#!/usr/bin/env bash
# check-glibc.sh CACHE_DIR: builds what runs on hosts and in images of others against glibc 2.17, which are the client library and the connector,
# and fails if either needs anything newer, or if the library exports anything but cu* and nvml*.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$1 target=build/glibc-2.17
export CARGO_ZIGBUILD_PYTHON_PATH="$cache/zig/bin/python" PATH="$cache/bin:$cache/zig/bin:$PATH"
cargo zigbuild --manifest-path native/Cargo.toml --target-dir "$target" --release --locked --quiet -p aquifer-client -p aquifer-connector \
  --target x86_64-unknown-linux-gnu.2.17
built=$target/x86_64-unknown-linux-gnu/release library=$target/x86_64-unknown-linux-gnu/release/libaquifer_client.so
passed=0 failed=0
for file in "$library" "$built/aquifer-connector"; do
  newest=$(readelf -W --version-info "$file" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
  if [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -1)" = GLIBC_2.17 ]; then
    passed=$((passed + 1)); echo "ok: ${file##*/} needs $newest, not newer than GLIBC_2.17"
  else
    failed=$((failed + 1)); echo "${file##*/} needs $newest, newer than GLIBC_2.17"
  fi
done
foreign=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | grep -vE '^(cu|nvml)[A-Z]' || true)
if [ -z "$foreign" ]; then
  passed=$((passed + 1)); echo 'ok: the library exports only cu* and nvml*'
else
  failed=$((failed + 1)); echo "the library exports more than cu* and nvml*:" $foreign
fi
echo "$passed passed, $failed failed"
((failed == 0))
