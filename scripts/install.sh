#!/usr/bin/env bash
# install.sh install|uninstall PREFIX: copies build/dist to PREFIX and remembers each file, so that uninstall removes just those.
set -euo pipefail
cd "$(dirname "$0")/.."
action=$1 prefix=$2
record="$prefix/share/aquifer/installed-files"
case "$action" in
  install)
    mkdir -p "$prefix/share/aquifer"
    (cd build/dist && find . -type f -o -type l) | sort > build/installed-files
    (cd build/dist && tar cf - -T ../installed-files) | tar xf - --no-same-owner -C "$prefix"
    install -m 644 build/installed-files "$record"
    echo "installed $(wc -l < "$record") files under $prefix" ;;
  uninstall)
    [ -f "$record" ] || { echo "nothing of Aquifer is installed under $prefix" >&2; exit 1; }
    while IFS= read -r file; do rm -f "$prefix/$file"; done < "$record"
    rm -f "$record"
    for dir in lib/aquifer libexec/aquifer share/aquifer; do
      if [ -d "$prefix/$dir" ]; then find "$prefix/$dir" -depth -type d -empty -delete; fi
    done
    echo "removed Aquifer from $prefix; data directories are left alone" ;;
  *) echo "usage: install.sh install|uninstall PREFIX" >&2; exit 2 ;;
esac
