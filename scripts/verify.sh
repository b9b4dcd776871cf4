#!/usr/bin/env bash
# What may write first (generate), then read-only checks. Fails when a generated file differs from what is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
step() { printf '== %s\n' "$*"; "$@"; }
step scripts/generate.sh
git diff --exit-code --stat -- deploy/crds deploy/helm/aquifer/files docs/reference src/protocol native/protocol/src test/fixtures ||
  { echo 'generated files differ from their sources: run `make generate` and commit the result' >&2; exit 1; }
step tsc --noEmit
step npm run --silent lint
step prettier --check --log-level warn .
step depcruise --config .dependency-cruiser.cjs --output-type err src
step knip
step node scripts/check-names.ts
step cargo fmt --manifest-path native/Cargo.toml --all --check
step cargo clippy --manifest-path native/Cargo.toml --workspace --release --all-targets --locked --quiet -- -D warnings
