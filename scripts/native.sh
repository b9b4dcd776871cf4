#!/usr/bin/env bash
# Compiles the Rust workspace in release mode; cargo prints the progress.
set -euo pipefail
cd "$(dirname "$0")/../native"
cargo build --release --locked --workspace --exclude aquifer-connector --exclude aquifer-container-hook --bins --lib
../scripts/static.sh
