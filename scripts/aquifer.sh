#!/bin/sh
# Runs the program with the Node that was installed beside it, wherever PREFIX is.
self=$(readlink -f "$0") || exit 1
prefix=${self%/bin/*}
# Programs of their own: serve alone opens the database, operator and backend speak to the Kubernetes API, device-plugin to kubelet.
memory=
case ${1-} in
  serve) application=standalone ;;
  operator)
    application=operator
    # Node lets young objects fill 48 MiB before it looks which of them are garbage; an operator is to stay small. Threads that
    # help to collect garbage are waited for, and have no core where the API server and others are busy: alone it pauses less.
    memory='--max-semi-space-size=4 --single-threaded-gc'
    ;;
  device-plugin)
    application=device-plugin
    # It gives up speed, of which it needs none: its code is interpreted.
    memory='--lite-mode --optimize-for-size --max-semi-space-size=1 --max-old-space-size=48'
    ;;
  backend)
    application=backend
    memory='--optimize-for-size --max-semi-space-size=1'
    ;;
  *) application=cli ;;
esac
# kubectl finds its plugins by their names.
[ "${0##*/}" != kubectl-aquifer ] || application=cli/kubectl
case $application in cli*) ;; *) shift ;; esac
if [ "$application" = standalone ]; then
  # Node takes every signal back to its default: it has to be told that nohup wanted this one ignored.
  ignored=$(sed -n 's/^SigIgn:.*\(.\)$/\1/p' "/proc/$$/status")
  case $ignored in *[13579bdf]) export AQUIFER_IGNORE_SIGHUP=1 ;; esac
fi
# Unquoted: several words.
exec "$prefix/libexec/aquifer/node" --disable-warning=ExperimentalWarning $memory "$prefix/lib/aquifer/js/$application/main.js" "$@"
