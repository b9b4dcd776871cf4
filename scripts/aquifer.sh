#!/bin/sh
# Runs the program with the Node that was installed beside it, wherever PREFIX is.
self=$(readlink -f "$0") || exit 1
prefix=${self%/bin/*}
# serve is a program of its own: it alone opens the database.
case ${1-} in serve) application=standalone ;; *) application=cli ;; esac
if [ "$application" = standalone ]; then
  shift
  # Node takes every signal back to its default: it has to be told that nohup wanted this one ignored.
  ignored=$(sed -n 's/^SigIgn:.*\(.\)$/\1/p' "/proc/$$/status")
  case $ignored in *[13579bdf]) export AQUIFER_IGNORE_SIGHUP=1 ;; esac
fi
exec "$prefix/libexec/aquifer/node" --disable-warning=ExperimentalWarning "$prefix/lib/aquifer/js/$application/main.js" "$@"
