#!/usr/bin/env bash
# Begins a cluster: its namespaces live as long as this process. Usage: begin.sh STATE NODE:ADDRESS:POD_RANGE…
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
STATE=$1
. "$here/processes.sh"
join_cgroup control-plane
exec unshare --mount --net --pid --ipc --uts --fork --kill-child bash "$here/control-plane.sh" "$@"
