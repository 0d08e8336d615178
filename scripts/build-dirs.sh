#!/bin/sh
# usage: build-dirs.sh                        prints the directories that have a meson.build
#        build-dirs.sh SOURCE KNOWN STAMP     fails when they aren't KNOWN any more, after asking for a new configuration
set -eu
list() {
    (cd "$1" && find src tests bench -name meson.build 2>/dev/null | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')
}
if [ $# -eq 0 ]; then
    list "$(dirname "$0")/.."
    exit
fi
if [ "$(list "$1")" != "$2" ]; then
    touch "$1/meson.build"
    echo "error: the set of source directories has changed: run ninja again" >&2
    exit 1
fi
[ -e "$3" ] || : >"$3"
