#!/usr/bin/env bash
# Pid 1 of the outer namespaces: the control plane, the bridge between the nodes, and the nodes' own namespaces.
# Usage: control-plane.sh STATE NODE:ADDRESS:POD_RANGE…
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
export STATE=$1
shift
. "$here/processes.sh"
. "$STATE/environment"

# leave_to_leaf NODE: with cgroup v2, moves what waits outside the node's namespaces out of the cgroup that is its root.
leave_to_leaf() {
  local folder pid
  folder=$(head -n 1 "$STATE/$1/cgroups")
  if [ ! -d "$folder/init" ]; then return; fi
  while read -r pid; do echo "$pid" >"$folder/init/cgroup.procs" || :; done <"$folder/cgroup.procs"
}

# The host's procfs tells an init its pid as the host sees it; a new sysfs would hide the host's cgroups.
mkdir -p "$STATE/hostproc" "$STATE/hostcgroup"
mount --bind /proc "$STATE/hostproc"
read -r pid _ <"$STATE/hostproc/self/stat"
echo "$pid" >"$STATE/control-plane/hostpid.new" && mv "$STATE/control-plane/hostpid.new" "$STATE/control-plane/hostpid"
mount --rbind /sys/fs/cgroup "$STATE/hostcgroup"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --rbind "$STATE/hostcgroup" /sys/fs/cgroup
hostname control-plane
set_up_network
ip link add br0 type bridge
ip addr add "$CONTROL_PLANE_ADDRESS/24" dev br0
ip link set br0 up
ip route add "$SERVICE_RANGE" dev br0 # No default route here, and DNAT comes after the look-up.

launch control-plane etcd
launch control-plane kube-apiserver
for node in "$@"; do
  IFS=: read -r name _ <<<"$node"
  (
    join_cgroup "$name"
    exec unshare --mount --net --pid --cgroup --ipc --uts --fork --kill-child \
      bash "$here/node.sh" "$STATE" "$node" "$@" </dev/null >>"$STATE/$name/init.log" 2>&1
  ) &
done
for node in "$@"; do
  IFS=: read -r name address range <<<"$node"
  until_ok 60 test -s "$STATE/$name/pid"
  leave_to_leaf "$name"
  ip link add "v-$name" type veth peer name eth0 netns "$(<"$STATE/$name/pid")"
  ip link set "v-$name" master br0 up
  ip route add "$range" via "$address"
done

until_ok 300 kubectl --kubeconfig "$STATE/control-plane/admin.kubeconfig" get --raw /readyz
touch "$STATE/control-plane/api-ready"
for component in kube-controller-manager kube-scheduler kube-proxy coredns; do launch control-plane "$component"; done
kubectl --kubeconfig "$STATE/control-plane/admin.kubeconfig" apply --filename "$STATE/control-plane/bootstrap.json"
touch "$STATE/control-plane/ready"
stay
