#!/usr/bin/env bash
# Pid 1 of a node's namespaces: containerd, kubelet and kube-proxy, on folders and cgroups of the node's own.
# Usage: node.sh STATE NODE:ADDRESS:POD_RANGE ALL_NODES…
set -euo pipefail
STATE=$1
IFS=: read -r name address _ <<<"$2"
shift 2
folder=$STATE/$name
. "$(dirname "$(readlink -f "$0")")/processes.sh"
. "$STATE/environment"

read -r pid _ <"$STATE/hostproc/self/stat"
echo "$pid" >"$folder/hostpid"
read -r pid _ </proc/self/stat # Still the outer procfs.
echo "$pid" >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"

hostname "$name"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
"$(dirname "$(readlink -f "$0")")/mount-cgroups.sh"

# kubelet writes sysctls that hold for the whole machine: it gets regular files in their place.
while read -r key value; do
  echo "$value" >"$folder/sysctl/$key"
  mount --bind "$folder/sysctl/$key" "/proc/sys/${key//.//}"
done <<'SYSCTLS'
vm.overcommit_memory 1
vm.panic_on_oom 0
kernel.panic 10
kernel.panic_on_oops 1
kernel.keys.root_maxkeys 1000000
kernel.keys.root_maxbytes 25000000
SYSCTLS

mount --bind "$folder/var-lib" /var/lib
mount --bind "$folder/var-log" /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
mount --make-rshared / # Else a pod's mountPropagation fails.
set_up_network

launch "$name" containerd
until_ok 60 ip link show eth0
ip addr add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$CONTROL_PLANE_ADDRESS"
for other in "$@"; do
  IFS=: read -r other_name other_address other_range <<<"$other"
  if [ "$other_name" != "$name" ]; then ip route add "$other_range" via "$other_address"; fi
done
until_ok 60 ctr version
for archive in "$STATE"/images/*.tar; do ctr --namespace k8s.io images import "$archive"; done
until_ok 300 test -e "$STATE/control-plane/api-ready"
launch "$name" kubelet
launch "$name" kube-proxy
stay
