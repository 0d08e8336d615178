#!/bin/bash
# Runs the attack programs, each in a sandbox of its own, and prints a line for each attack.
#
#     run.sh CAISSON [PROGRAM [ATTACK...]]
#
# ATTACK_BIN   where the programs are (default: tests/attack beside CAISSON)
# TIMEOUT      seconds for one program (default 900)
#
# Exit status: 0 when nothing failed.
set -u
[ $# -ge 1 ] || { sed -n '4p' "$0" | sed 's/^# *//' >&2; exit 2; }
caisson=$1 only=${2:-}
shift
[ $# = 0 ] || shift
bin=${ATTACK_BIN:-$(dirname "$caisson")/tests/attack}
limit=${TIMEOUT:-900}
work=$(mktemp -d /tmp/attack-XXXXXX) || exit 2
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
failed=0
for program in attack-calls attack-map attack-slot attack-frame attack-race; do
    [ -z "$only" ] || [ "$only" = "$program" ] || continue
    if [ ! -x "$bin/$program" ]; then
        echo "FAIL $program (not built)"
        failed=1
        continue
    fi
    timeout -k 10 "$limit" "$caisson" --debug-log "$work/log" do -- "$bin/$program" "$@" \
        </dev/null >"$work/out" 2>"$work/err"
    status=$?
    sed "s/^\(ok\|FAIL\|skip\) /\1 $program /" "$work/out"
    if [ $status != 0 ]; then
        failed=1
        echo "FAIL $program (exit status $status)"
        head -c 2000 "$work/err" | sed 's/^/    /'
        grep -aiE 'panic|bug|fatal' "$work/log" 2>/dev/null | tail -n 5 | cut -c 1-300 | sed 's/^/    /'
    fi
done
exit $failed
