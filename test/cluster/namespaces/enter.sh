#!/usr/bin/env bash
# Runs a command in the namespaces and cgroups of the control plane or of a node. Usage: enter.sh STATE WHERE COMMAND…
set -euo pipefail
export STATE=$1
where=$2
shift 2
. "$(dirname "$(readlink -f "$0")")/processes.sh"
. "$STATE/environment"
join_cgroup "$where" init
namespaces=(--mount --net --pid --ipc --uts)
if [ "$where" != control-plane ]; then namespaces+=(--cgroup); fi
exec nsenter --target "$(<"$STATE/$where/hostpid")" "${namespaces[@]}" -- "$@"
