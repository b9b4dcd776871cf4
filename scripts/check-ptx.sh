#!/usr/bin/env bash
# Checks the PTX interpreter against C: each feature's kernel, made for both by clang and cc, must compute the same on both. Checks too that
# the committed PTX of the example kernels is what clang makes of their source.
set -euo pipefail
cd "$(dirname "$0")/.."
passed=0 failed=0
if scripts/make-ptx.sh --check; then passed=1; else failed=1; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test --manifest-path native/Cargo.toml --release --locked --quiet -p aquifer-ptx --test differential >"$log" 2>&1 || status=$?
# The line that cargo counts on is renamed: who reads this output adds up the last line.
sed -E 's/^test result: /kernels: /' "$log"
counts=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log")
read -r p f <<<"${counts:-0 0}"
if ((status != 0 && f == 0)) || ((p + f == 0)); then f=1; fi
passed=$((passed + p)) failed=$((failed + f))
echo "$passed passed, $failed failed"
((failed == 0))
