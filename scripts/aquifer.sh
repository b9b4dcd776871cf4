#!/bin/sh
# Runs the program with the Node that was installed beside it, wherever PREFIX is.
self=$(readlink -f "$0") || exit 1
prefix=${self%/bin/*}
# serve is a program of its own: it alone opens the database.
case ${1-} in serve) application=standalone ;; *) application=cli ;; esac
[ "$application" = cli ] || shift
exec "$prefix/libexec/aquifer/node" --disable-warning=ExperimentalWarning "$prefix/lib/aquifer/js/$application/main.js" "$@"
