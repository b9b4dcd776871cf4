#!/bin/sh
# Makes the PTX of the example kernels from their source, with clang alone.
#
#   scripts/make-ptx.sh           writes examples/kernels/*.ptx
#   scripts/make-ptx.sh --check   compares what it would write with what is committed
#
# CLANG names the compiler. Other versions of clang make other (equally good) PTX, so --check only compares when the
# version is the one that made the committed files; the tests of aquifer-ptx run freshly made PTX in any case.
set -eu

clang=${CLANG:-clang}
kernels=$(cd "$(dirname "$0")/../examples/kernels" && pwd)

command -v "$clang" >/dev/null || {
    echo "make-ptx: there is no '$clang'; install clang or set CLANG" >&2
    exit 1
}
version=$("$clang" -dumpversion | cut -d. -f1)

make_one() {
    echo "// Made by scripts/make-ptx.sh with clang $version from $1.cu"
    (cd "$kernels" && "$clang" -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=sm_52 -O2 -S "$1.cu" -o -)
}

status=0
for kernel in matmul histogram training; do
    committed=$kernels/$kernel.ptx
    if [ "${1:-}" != --check ]; then
        make_one "$kernel" >"$committed.new"
        mv "$committed.new" "$committed"
    elif ! head -n 1 "$committed" | grep -q "with clang $version from"; then
        echo "make-ptx: $kernel.ptx was made by another version than clang $version; not compared" >&2
    elif ! make_one "$kernel" | cmp -s - "$committed"; then
        echo "make-ptx: examples/kernels/$kernel.ptx is not what clang makes of $kernel.cu; run scripts/make-ptx.sh" >&2
        status=1
    fi
done
exit $status
