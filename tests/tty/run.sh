#!/bin/sh
# The console: the terminal that the command was started on, as programs inside and the shell outside meet it.
#
#     run.sh CAISSON [TEST...]
set -u
cd "$(dirname "$0")" || exit 2
caisson=$1
shift
exec ../posture/isolated.sh "$caisson" "$(dirname "$caisson")/caisson-sandbox" console.py "$@"
