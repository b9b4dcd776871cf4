#!/bin/sh
# A libvirtd that sees nothing of the machine's own: what it reads, writes and listens at is in its own mounts, its guests are in
# its own process and network namespaces, and end with it.
# Usage: unshare --mount --net --pid --fork --kill-child --mount-proc libvirtd.sh LOG
set -e
for folder in /etc/libvirt /var/lib /var/cache /var/log /run; do mount -t tmpfs tmpfs "$folder"; done
cat >/etc/libvirt/libvirtd.conf <<END
unix_sock_dir = "/run/libvirt"
auth_unix_rw = "none"
log_outputs = "3:file:$1"
END
# The guest's kernel and disks are in root's cache, and cgroups are the machine's.
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
END
libvirtd &
wait # As the first process here it reaps what daemons leave to it, for which libvirtd would wait.
