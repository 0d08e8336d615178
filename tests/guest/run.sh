#!/bin/bash
# Runs the guest tests and prints one line for each program.
#
# usage: run.sh native|CAISSON [PATTERN]
#   native    run them on this kernel
#   CAISSON   path of the caisson program: run each as `CAISSON do -- TEST`
#   PATTERN   only programs whose name matches this shell pattern
#
# GUEST_BIN   where the programs are (default: build/tests/guest under the top of the tree)
# GUEST_ARGS  arguments for every program, such as -n
# TIMEOUT     seconds for one program (default 300)
# VERBOSE=1   print every line of every program, not only those of failures
#
# Exit status: 0 when nothing failed.
set -u
[ $# -ge 1 ] || { sed -n '4,7p' "$0" | sed 's/^# //' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
how=$1 pattern=${2:-*}
bin=${GUEST_BIN:-$here/../../build/tests/guest}
limit=${TIMEOUT:-300}
read -r -a arguments <<<"${GUEST_ARGS:-}"
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT

if [ "$how" = native ]; then
    prefix=()
else
    [ -x "$how" ] || { echo "run.sh: $how is not a program" >&2; exit 2; }
    prefix=("$how" do)
fi

passed=0 failed=0 skipped=0
for source in "$here"/*.c; do
    name=$(basename "$source" .c)
    # shellcheck disable=SC2254
    case $name in $pattern) ;; *) continue ;; esac
    if [ ! -x "$bin/$name" ]; then
        echo "FAIL $name (not built)"
        failed=$((failed + 1))
        continue
    fi
    # The overlay's tests change files that lie on the host: what the host has must not change.
    lower=
    if [ "$name" = overlay ] && [ "$how" != native ]; then
        lower=$(mktemp -d /var/tmp/guest-lower-XXXXXX) || exit 2
        "$bin/overlay" -xprepare "$lower" || exit 2
        "$bin/overlay" -xverify "$lower" | sort >"$lower.before"
        export GT_LOWER=$lower
    fi
    # A sandbox does not inherit the environment: hand over what the harness reads.
    passed_on=()
    if [ "$how" != native ]; then
        passed_on+=(--env GT_INSIDE=1)
        for variable in TMPDIR GT_TIMEOUT_SCALE GT_LOWER GT_SEED; do
            [ -z "${!variable:-}" ] || passed_on+=(--env "$variable=${!variable}")
        done
        passed_on+=(--)
    fi
    timeout -k 10 "$limit" "${prefix[@]}" "${passed_on[@]}" "$bin/$name" "${arguments[@]}" </dev/null >"$log" 2>&1
    status=$?
    if [ -n "$lower" ]; then
        unset GT_LOWER
        if ! "$bin/overlay" -xverify "$lower" | sort | diff "$lower.before" - >"$lower.diff"; then
            echo "# host: FAIL files of the host changed: $(head -n 2 "$lower.diff" | tail -n 1)" >>"$log"
            status=1
        fi
        rm -rf "$lower" "$lower.before" "$lower.diff"
    fi
    count=$(grep -cE '^# [A-Za-z0-9_]+: (ok|skip)' "$log")
    total=$(sed -n 's/^# total: \([0-9]*\) ok, \([0-9]*\) FAIL, \([0-9]*\) skip$/\1 \2 \3/p' "$log" | tail -n 1)
    if [ -n "$total" ]; then
        # shellcheck disable=SC2086
        set -- $total
        count=$(($1 + $2 + $3))
    fi
    case $status in
    0) word=ok passed=$((passed + 1)) ;;
    77) word=skip skipped=$((skipped + 1)) ;;
    *) word=FAIL failed=$((failed + 1)) ;;
    esac
    # A program that ended well without its closing line has not run.
    if [ $word != FAIL ] && [ -z "$total" ]; then
        [ $word = ok ] && passed=$((passed - 1)) || skipped=$((skipped - 1))
        word=FAIL failed=$((failed + 1))
    fi
    echo "$word $name (subtests $count)"
    if [ "${VERBOSE:-0}" = 1 ]; then
        sed 's/^/    /' "$log"
    elif [ $word = FAIL ]; then
        [ $status = 124 ] || [ $status = 137 ] && echo "    timed out after $limit s"
        grep -avE '^# [A-Za-z0-9_]+: (ok|skip)' "$log" | tail -n 40 | cut -c 1-300 | sed 's/^/    /'
        [ -n "$total" ] || echo "    exit status $status, last: $(tail -n 1 "$log" | cut -c 1-200)"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
