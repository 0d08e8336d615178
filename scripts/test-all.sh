#!/bin/bash
# Runs every part of the tests and ends with one line: N passed, N failed, N skipped.
#
# usage: test-all.sh [BUILD-DIR [PART...]]
#
# A part is a command that prints a line "ok NAME", "FAIL NAME" or "skip NAME" for each of its tests; anything else that it
# prints is its own comment. A part that ends with an error, is stopped by its time limit, or prints no result counts as one
# failure more. Results are kept in BUILD-DIR/test-results/PART.log.
#
# LIMIT_SCALE   multiplies the time limits (default 1)
# DEADLINE      seconds for everything (default 2160); what doesn't fit any more counts as failed
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
[ $# -eq 0 ] || shift
results=$build/test-results
mkdir -p "$results" || exit 2
caisson=$PWD/$build/caisson
scale=${LIMIT_SCALE:-1}
deadline=${DEADLINE:-2160}
wanted=" $* "

passed=0 failed=0 skipped=0
declare -a failures=()

# part NAME SECONDS COMMAND...
part() {
    local name=$1 limit=$(($2 * scale)) log=$results/$1.log status start=$SECONDS ok bad skip
    shift 2
    if [ "$wanted" != "  " ] && [[ $wanted != *" $name "* ]]; then
        return
    fi
    if [ $((SECONDS + limit)) -gt "$deadline" ]; then
        limit=$((deadline - SECONDS))
    fi
    if [ "$limit" -lt 10 ]; then
        echo "$name: not run, the time is up"
        failures+=("$name: not run, the time is up")
        failed=$((failed + 1))
        return
    fi
    timeout -k 20 "$limit" "$@" </dev/null >"$log" 2>&1
    status=$?
    ok=$(grep -ac '^ok ' "$log")
    bad=$(grep -ac '^FAIL ' "$log")
    skip=$(grep -ac '^skip ' "$log")
    while read -r line; do
        failures+=("$name: $line")
    done < <(grep -a '^FAIL ' "$log" | cut -c 6-200)
    if [ $status = 124 ] || [ $status = 137 ]; then
        failures+=("$name: stopped after $limit s")
        bad=$((bad + 1))
    elif [ $status != 0 ] && [ "$bad" = 0 ]; then
        failures+=("$name: exit status $status")
        bad=$((bad + 1))
    elif [ $((ok + bad + skip)) = 0 ]; then
        failures+=("$name: no result")
        bad=$((bad + 1))
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-16s %5d ok %5d FAIL %5d skip %5d s\n' "$name" "$ok" "$bad" "$skip" $((SECONDS - start))
    if [ "$bad" != 0 ]; then
        grep -av '^ok ' "$log" | tail -n 60 | cut -c 1-300 | sed 's/^/    /'
    fi
}

# inside NAME SECONDS COMMAND...: a part that needs the program
inside() {
    if [ -x "$caisson" ] && [ -x "$build/caisson-sandbox" ]; then
        part "$@"
    elif [ "$wanted" = "  " ] || [[ $wanted == *" $1 "* ]]; then
        echo "$1: not run, $build/caisson is not built"
        skipped=$((skipped + 1))
    fi
}

part scripts 60 scripts/self-tests.sh
part unit 300 scripts/test-unit.sh "$build"
part sanitizers 900 scripts/test-sanitizers.sh
[ -x tests/guest/run.sh ] && part guest-native 600 env GUEST_BIN="$PWD/$build/tests/guest" tests/guest/run.sh native
[ -x tests/guest/run.sh ] && inside guest 900 env GUEST_BIN="$PWD/$build/tests/guest" tests/guest/run.sh "$caisson"
for script in tests/*/run.sh; do
    name=$(basename "$(dirname "$script")")
    case $name in
    guest | unit | '*') continue ;;
    fuzz) part fuzz 900 "$script" ;;
    workloads) inside workloads 900 "$script" "$caisson" smoke ;; # it makes a root file system first
    attack) inside attack 600 "$script" "$caisson" ;;
    *) inside "$name" 300 "$script" "$caisson" ;;
    esac
done

for f in "${failures[@]}"; do
    echo "FAIL $f"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
