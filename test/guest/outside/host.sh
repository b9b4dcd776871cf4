#!/bin/sh
# The network namespace that is "the host": a bridge on which the guests are. It lives as long as this process.
# Usage: unshare --net host.sh ADDRESS/PREFIX READY_FILE
set -e
ip link set lo up
ip link add br0 address 52:54:00:77:00:01 type bridge # Its own, or it would change with every port, and no guest would find it.
ip address add "$1" dev br0
ip link set br0 up
echo ready >"$2"
exec sleep infinity
