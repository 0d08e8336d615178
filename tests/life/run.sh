#!/bin/sh
# Sandboxes from start to end, as a user meets them.
#
#     run.sh CAISSON [TEST...]
set -u
cd "$(dirname "$0")" || exit 2
caisson=$1
shift
exec ../posture/isolated.sh "$caisson" "$(dirname "$caisson")/caisson-sandbox" life.py "$@"
