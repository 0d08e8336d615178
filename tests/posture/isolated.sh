#!/bin/sh
# Runs a test program against a command and a sandbox binary, side by side in a directory of their own and, where that is
# allowed, in a PID name space of their own: nothing that is left behind outlives it, and no signal leaves it.
#
#     isolated.sh CAISSON SANDBOX PROGRAM [ARGUMENT...]     the program gets the command's path as its first argument
set -eu
dir=$(mktemp -d /tmp/caisson-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cp "$1" "$dir/caisson"
cp "$2" "$dir/caisson-sandbox"
program=$3
shift 3
if unshare --pid --fork --mount-proc true 2>/dev/null; then
    unshare --pid --fork --kill-child --mount-proc python3 "$program" "$dir/caisson" "$@"
else
    python3 "$program" "$dir/caisson" "$@"
fi
