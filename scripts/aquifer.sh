#!/bin/sh
# Runs the program with the Node that was installed beside it, wherever PREFIX is.
self=$(readlink -f "$0") || exit 1
prefix=${self%/bin/*}
exec "$prefix/libexec/aquifer/node" --disable-warning=ExperimentalWarning "$prefix/lib/aquifer/js/cli/main.js" "$@"
