#!/usr/bin/env bash
# Installs what package-lock.json pins, after naming every tool that is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
for tool in git make cc node npm cargo; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then
  echo "missing: ${missing[*]}. Aquifer builds with git, make, a C compiler, Node 20 or newer (with npm) and Rust by rustup." >&2
  exit 1
fi
npm ci --no-fund --no-audit --loglevel=error
touch node_modules/.package-lock.json
