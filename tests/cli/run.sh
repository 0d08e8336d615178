#!/bin/sh
# The command's own behaviour, against the stand-in for caisson-sandbox.
#
#     run.sh CAISSON
set -u
cd "$(dirname "$0")" || exit 2
stand_in=$(dirname "$1")/tests/posture/caisson-sandbox-stand-in
if [ ! -x "$stand_in" ]; then
    echo "FAIL cli (the stand-in is not built)"
    exit 1
fi
exec ../posture/isolated.sh "$1" "$stand_in" cli.py
