#!/bin/bash
# Runs the unit tests of a build directory and prints a line for each test in them.
#
# usage: test-unit.sh [BUILD-DIR [PREFIX]]     PREFIX goes before the names
#   ONLY   run the one program of this name
set -u
build=${1:-build} prefix=${2:-}
status=0
shopt -s nullglob
programs=("$build"/tests/unit/test-*)
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
count=0
for program in "${programs[@]}"; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    [ -z "${ONLY:-}" ] || [ "$(basename "$program")" = "test-$ONLY" ] || continue
    count=$((count + 1))
    name=$prefix$(basename "$program" | sed 's/^test-//')
    timeout -k 5 120 "$program" >"$log" 2>&1
    rc=$?
    sed -n -E "s#^\[ +OK \] (.*)#ok $name.\1#p; s#^\[ +SKIPPED +\] ([A-Za-z0-9_]+)\$#skip $name.\1#p" "$log"
    # cmocka names a failed test twice; the list at the end has no colon and nothing behind the name.
    sed -n -E "s#^\[ +FAILED +\] ([A-Za-z0-9_]+)\$#FAIL $name.\1#p" "$log" | sort -u
    if [ $rc != 0 ]; then
        status=1
        grep -qE '^\[ +FAILED +\] [A-Za-z0-9_]+$' "$log" || echo "FAIL $name (exit status $rc)"
        grep -vE '^\[ +(OK|RUN) ' "$log" | head -n 60 | sed 's/^/    /'
    fi
done
if [ $count = 0 ]; then
    echo "FAIL ${prefix}unit tests are not built (is libcmocka-dev installed?)"
    status=1
fi
exit $status
