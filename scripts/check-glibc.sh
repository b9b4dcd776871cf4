#!/usr/bin/env bash
# Fails if the client library that scripts/portable.sh builds needs anything newer than glibc 2.17, or exports anything but cu* and
# nvml*; or if what scripts/static.sh builds needs any library, or is larger than a guest's connector may be.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(scripts/portable.sh)
library=$built/libaquifer_client.so
passed=0 failed=0
newest=$(readelf -W --version-info "$library" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
if [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -1)" = GLIBC_2.17 ]; then
  passed=$((passed + 1)); echo "ok: the library needs $newest, not newer than GLIBC_2.17"
else
  failed=$((failed + 1)); echo "the library needs $newest, newer than GLIBC_2.17"
fi
scripts/static.sh
for program in aquifer-connector container-hook; do
  file=native/target/$(uname -m)-unknown-linux-musl/release/$program
  needed=$(readelf -W --dynamic --program-headers "$file" | grep -E 'NEEDED|INTERP' || true) size=$(stat -c %s "$file")
  if [ -z "$needed" ] && ((size <= 8 << 20)); then
    passed=$((passed + 1)); echo "ok: $program is static and has $size bytes, at most 8 MiB"
  else
    failed=$((failed + 1)); echo "$program has $size bytes (8 MiB are allowed) and needs: ${needed:-nothing}"
  fi
done
foreign=$(nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | grep -vE '^(cu|nvml)[A-Z]' || true)
if [ -z "$foreign" ]; then
  passed=$((passed + 1)); echo 'ok: the library exports only cu* and nvml*'
else
  failed=$((failed + 1)); echo "the library exports more than cu* and nvml*:" $foreign
fi
echo "$passed passed, $failed failed"
((failed == 0))
