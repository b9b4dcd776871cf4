#!/usr/bin/env bash
# Every generated file of the repository, from its single source.
set -euo pipefail
cd "$(dirname "$0")/.."
for script in scripts/generate-*.ts; do node "$script"; done
