#!/usr/bin/env bash
# fuzz.sh SECONDS: every decoder of bytes from a peer under libFuzzer, SECONDS in all, starting from the committed corpus; with 0
# they are only built.
# cargo-fuzz needs unstable compiler flags; RUSTC_BOOTSTRAP allows them on the stable compiler.
set -euo pipefail
cd "$(dirname "$0")/../native/fuzz"
seconds=$1
export RUSTC_BOOTSTRAP=1
if ((seconds == 0)); then exec cargo fuzz build; fi
mapfile -t targets < <(cargo fuzz list)
each=$((seconds / ${#targets[@]}))
((each > 0)) || each=1
passed=0 failed=0
# An input that takes a minute or half a GiB at once is a finding too.
limits=(-timeout=60 -malloc_limit_mb=512 -rss_limit_mb=2048)
for target in "${targets[@]}"; do
  scratch=$(mktemp -d)
  seeds=()
  [ -d "corpus/$target" ] && seeds=("corpus/$target")
  words=()
  [ -f "$target.dict" ] && words=(-dict="$target.dict")
  echo "fuzzing $target for $each s"
  if cargo fuzz run "$target" "$scratch" "${seeds[@]}" -- -max_total_time="$each" -max_len=65536 "${limits[@]}" "${words[@]}" -verbosity=0 -print_final_stats=0 2>"$scratch.log"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -40 "$scratch.log"
  fi
  rm -rf "$scratch" "$scratch.log"
done
echo "$passed passed, $failed failed"
((failed == 0))
