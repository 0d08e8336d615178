#!/bin/bash
# The trap platform alone, as PID 1 of a PID namespace. usage: run.sh CAISSON
set -u
dir=$(dirname "$(readlink -f "$1")")
[ -x "$dir/tests/platform/test-platform" ] || { echo "skip platform: not built"; exit 0; }
if ! unshare -pf true 2>/dev/null; then
    echo "skip platform: PID namespaces can't be made here"
    exit 0
fi
exec timeout 60 unshare -pf --mount-proc --kill-child "$dir/tests/platform/test-platform"
