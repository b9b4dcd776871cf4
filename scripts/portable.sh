#!/usr/bin/env bash
# Builds what is loaded into programs of others, the client library, against glibc 2.17, and prints the folder it is in. Its linker, zig, comes from PyPI and is kept outside of the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${AQUIFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aquifer}"
target=build/glibc-2.17 triple=x86_64-unknown-linux-gnu
ZIGBUILD=0.24.1 ZIG=0.15.2
mkdir -p "$cache"
{
  if [ "$("$cache/bin/cargo-zigbuild" -V 2>/dev/null)" != "cargo-zigbuild $ZIGBUILD" ]; then
    echo "installing cargo-zigbuild $ZIGBUILD under $cache (once)"
    cargo install --quiet --locked --root "$cache" "cargo-zigbuild@$ZIGBUILD"
  fi
  if [ ! -x "$cache/zig-$ZIG/bin/python" ]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || { echo 'missing: python3 with venv (Debian: python3-venv), to install zig'; exit 1; }
    echo "installing zig $ZIG from PyPI under $cache (once)"
    python3 -m venv "$cache/zig-$ZIG.part" && "$cache/zig-$ZIG.part/bin/pip" install --quiet "ziglang==$ZIG"
    rm -rf "$cache/zig-$ZIG" && mv "$cache/zig-$ZIG.part" "$cache/zig-$ZIG"
  fi
  export CARGO_ZIGBUILD_PYTHON_PATH="$cache/zig-$ZIG/bin/python" PATH="$cache/bin:$PATH"
  cargo zigbuild --manifest-path native/Cargo.toml --target-dir "$target" --release --locked --quiet -p aquifer-client \
    --target "$triple.2.17"
} >&2
echo "$target/$triple/release"
