#!/usr/bin/env bash
# Installs what the tests need beyond the toolchains, and says so first. Usage: test-packages.sh CACHE_DIR
set -euo pipefail
cache=$1
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

command -v go >/dev/null || { echo 'missing: go. The tests build parts of Kubernetes with Go 1.26 or newer.' >&2; exit 1; }

debian=()
command -v clang >/dev/null || debian+=(clang)
command -v readelf >/dev/null || debian+=(binutils)
command -v g++ >/dev/null || debian+=(g++)
command -v xmllint >/dev/null || debian+=(libxml2-utils)
[ -e /usr/share/libvirt/schemas/domain.rng ] || debian+=(libvirt0)
command -v ip >/dev/null || debian+=(iproute2)
command -v pgrep >/dev/null || debian+=(procps)
python3 -c 'import venv, ensurepip' 2>/dev/null || debian+=(python3-venv)
if ((${#debian[@]})); then
  echo "installing Debian packages: ${debian[*]}"
  root apt-get update -qq
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian[@]}" >/dev/null
fi

"$(dirname "$0")/guest-packages.sh"

CARGO_FUZZ=0.13.2
if [ ! -x "$cache/bin/cargo-fuzz" ]; then
  echo "installing cargo-fuzz $CARGO_FUZZ under $cache (once)"
  cargo install --quiet --locked --root "$cache" "cargo-fuzz@$CARGO_FUZZ"
fi
