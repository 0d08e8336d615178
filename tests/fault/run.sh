#!/bin/sh
# The command killed or failed at each of its system calls, with the tests' stand-in for the kernel process.
#
#     run.sh CAISSON
set -u
cd "$(dirname "$0")" || exit 2
stand_in=$(dirname "$1")/tests/posture/caisson-sandbox-stand-in
if ! command -v strace >/dev/null; then
    echo "skip fault (strace is not installed)"
    exit 0
fi
exec ../posture/isolated.sh "$1" "$stand_in" fault-each-call.py
