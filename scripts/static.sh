#!/usr/bin/env bash
# Compiles what is executed on hosts and in guests of whatever distribution: it brings its C library, musl's, whose resolver can be
# linked statically. Its few lines of C, ring's, need nothing but the compiler.
set -euo pipefail
cd "$(dirname "$0")/../native"
target=$(uname -m)-unknown-linux-musl
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  echo "installing Rust's standard library for $target (once)" >&2
  rustup target add "$target"
fi
export "CC_${target//-/_}=${CC:-cc}"
cargo build --release --locked --package aquifer-connector --package aquifer-container-hook --target "$target"
