#!/usr/bin/env bash
# `make test`: installs what is missing, builds, then runs every suite and prints the sum as its last line.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${AQUIFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aquifer}"
logs=build/test-logs
mkdir -p "$cache" "$logs"
scripts/test-packages.sh "$cache"
export PATH="$PWD/node_modules/.bin:$cache/bin:$PATH"
make --no-print-directory verify images
node scripts/cluster.ts build
# Namespaces, mounts and cgroups of the test cluster are root's.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo --preserve-env=PATH,HOME,AQUIFER_CACHE,XDG_CACHE_HOME "$@"; fi; }

passed=0 failed=0
# run NAME CMD…: shows the command's output and adds up what its runner counted (jest or cargo test); a suite that counts nothing has failed.
run() {
  local name=$1 log="$logs/$1.log" status=0 p f
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$log" || status=$?
  p=$(sed -nE 's/^test result: .* ([0-9]+) passed.*/\1/p; s/^Tests:.* ([0-9]+) passed.*/\1/p; s/^([0-9]+) passed, [0-9]+ failed$/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
  f=$(sed -nE 's/^test result: .* ([0-9]+) failed.*/\1/p; s/^Tests:.* ([0-9]+) failed.*/\1/p; s/^[0-9]+ passed, ([0-9]+) failed$/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
  if ((status != 0 && f == 0)) || ((p + f == 0)); then f=$((f + 1)); fi
  passed=$((passed + p)) failed=$((failed + f))
}

run unit npm test --silent -- --selectProjects unit
run native cargo test --manifest-path native/Cargo.toml --workspace --release --locked --quiet --no-fail-fast
# A failed test may leave a program: the run must end all the same.
run end-to-end npm test --silent -- --selectProjects e2e --runInBand --forceExit
# Fuzz targets compile for minutes, while the tests of the next suite wait for something most of the time.
nice scripts/fuzz.sh 0 &>"$logs/fuzz-build.log" &
fuzz_build=$!
trap 'kill "$fuzz_build" 2>/dev/null || true' EXIT
run api-server npm test --silent -- --selectProjects api-server --maxWorkers=2 --forceExit
# Two clusters at once: most of the time nodes wait for something.
run cluster as_root npm test --silent -- --selectProjects cluster --maxWorkers=2 --forceExit
# A guest is one emulated processor.
as_root node scripts/guest.ts build
run guest as_root npm test --silent -- --selectProjects guest --maxWorkers=2 --forceExit
run glibc scripts/check-glibc.sh
wait "$fuzz_build" || cat "$logs/fuzz-build.log"
run fuzz scripts/fuzz.sh 60
run kernels scripts/check-ptx.sh
printf '\n%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
