#!/usr/bin/env bash
# Mounts, inside a new cgroup namespace, the same hierarchies that the host has: one a controller (v1), one for all (v2), or both.
set -euo pipefail
root=/sys/fs/cgroup
if ! grep -qv '^0::' /proc/self/cgroup; then
  mount -t cgroup2 cgroup2 "$root"
  # Who has processes of its own may not hand controllers on: these are in the leaf `init`, kubelet's pods beside it.
  echo 0 >"$root/init/cgroup.procs"
  controllers=$(sed -E 's/[a-z_]+/+&/g' "$root/cgroup.controllers")
  until echo "$controllers" >"$root/cgroup.subtree_control"; do sleep 0.1; done # control-plane.sh moves the outer process.
  exit
fi
mount -t tmpfs -o mode=755 cgroup "$root"
while IFS=: read -r _ controllers _; do
  case $controllers in
    '') mkdir "$root/unified" && mount -t cgroup2 cgroup2 "$root/unified" ;;
    name=*) mkdir "$root/${controllers#name=}" && mount -t cgroup -o "none,$controllers" cgroup "$root/${controllers#name=}" ;;
    *) mkdir "$root/$controllers" && mount -t cgroup -o "$controllers" cgroup "$root/$controllers" ;;
  esac
done </proc/self/cgroup
