#!/bin/bash
# Configures a build directory where there is none, and builds. Quiet unless something goes wrong.
#
# usage: build.sh [DIR [MESON-OPTION...]]
#   CC              compiler (default gcc, through ccache where there is one)
#   NINJA_TARGETS   build only these
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build}
[ $# -eq 0 ] || shift
if [ -z "${CC:-}" ]; then
    CC=gcc
    if command -v ccache >/dev/null; then
        CC="ccache gcc"
    fi
    export CC
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
}
if [ ! -f "$dir/build.ninja" ]; then
    rm -rf "$dir"
    run meson setup "$dir" "$@"
fi
# Notices directories that have appeared since, see build-dirs.sh.
ninja -C "$dir" build-dirs.stamp >/dev/null 2>&1 || true
# shellcheck disable=SC2086
run ninja -C "$dir" ${NINJA_TARGETS:-}
