#!/usr/bin/env bash
# Starts a component that was killed; run by enter.sh. Usage: start-component.sh STATE WHERE COMPONENT
set -euo pipefail
STATE=$1
. "$(dirname "$(readlink -f "$0")")/processes.sh"
launch "$2" "$3"
