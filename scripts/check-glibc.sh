#!/usr/bin/env bash
# Fails if what scripts/portable.sh builds, which is the client library and the connector, needs anything newer than glibc 2.17, or if the
# library exports anything but cu* and nvml*.
set -euo pipefail
cd "$(dirname "$0")/.."
built=$(scripts/portable.sh)
library=$built/libaquifer_client.so
passed=0 failed=0
for file in "$library" "$built/aquifer-connector"; do
  newest=$(readelf -W --version-info "$file" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
  if [ "$(printf '%s\nGLIBC_2.17\n' "$newest" | sort -V | tail -1)" = GLIBC_2.17 ]; then
    passed=$((passed + 1)); echo "ok: ${file##*/} needs $newest, not newer than GLIBC_2.17"
  else
    failed=$((failed + 1)); echo "${file##*/} needs $newest, newer than GLIBC_2.17"
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
