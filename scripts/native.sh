#!/usr/bin/env bash
# Compiles the Rust workspace in release mode; cargo prints the progress.
set -euo pipefail
cd "$(dirname "$0")/../native"
cargo build --release --locked --workspace --exclude aquifer-container-hook --bins --lib
# A container runtime executes it on the host, whatever distribution that is: it brings its C library.
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --package aquifer-container-hook --target "$(rustc --print host-tuple)"
