#!/bin/sh
# A physical machine: a network namespace with a tap for the guest and an uplink to the bridge of the host, in which QEMU runs.
# Usage: unshare --net machine.sh HOST_PID UPLINK COMMAND…
set -e
host=$1
uplink=$2
shift 2
ip link set lo up
ip link add br0 type bridge
ip tuntap add tap0 mode tap
ip link add up0 type veth peer name "$uplink" netns "$host"
for name in tap0 up0; do ip link set "$name" master br0 up; done
ip link set br0 up
nsenter --target "$host" --net ip link set "$uplink" master br0 up
exec "$@"
