#!/usr/bin/env bash
# Installs what runs a guest and makes its disks, and says so first. What is inside the guest is unpacked, never installed.
set -euo pipefail
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
export PATH="$PATH:/usr/sbin:/sbin"

debian=()
command -v qemu-system-x86_64 >/dev/null || debian+=(qemu-system-x86)
command -v mkfs.ext4 >/dev/null || debian+=(e2fsprogs)
command -v ip >/dev/null || debian+=(iproute2)
command -v xz >/dev/null || debian+=(xz-utils)
command -v ssh >/dev/null || debian+=(openssh-client)
command -v cc >/dev/null || debian+=(gcc libc6-dev)
command -v libvirtd >/dev/null || debian+=(libvirt-daemon libvirt-daemon-driver-qemu) # Without what starts it with the machine.
command -v virsh >/dev/null || debian+=(libvirt-clients)
if ((${#debian[@]})); then
  echo "installing Debian packages: ${debian[*]}"
  root apt-get update -qq
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian[@]}" >/dev/null
fi
