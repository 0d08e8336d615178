#!/bin/bash
# Builds the unit tests with the address and undefined-behaviour sanitizers, lock checks and poisoning on, once with gcc and
# once with clang, and runs them.
#
# usage: test-sanitizers.sh [gcc|clang...]
set -u
cd "$(dirname "$0")/.." || exit 2
[ $# -gt 0 ] || set -- gcc clang thread
export ASAN_OPTIONS=detect_stack_use_after_return=0:abort_on_error=0:handle_segv=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
status=0
for cc in "$@"; do
    if [ "$cc" = thread ]; then
        if NINJA_TARGETS=tests/unit/test-lock scripts/build.sh build-tsan -Db_sanitize=thread; then
            ONLY=lock scripts/test-unit.sh build-tsan tsan. || status=1
        else
            echo "FAIL sanitizers-thread (build)"
            status=1
        fi
        continue
    fi
    if ! command -v "$cc" >/dev/null; then
        echo "skip sanitizers-$cc ($cc is not installed)"
        continue
    fi
    dir=build-asan-$cc
    compiler=$cc
    command -v ccache >/dev/null && compiler="ccache $cc"
    if ! CC=$compiler scripts/build.sh "$dir" -Db_sanitize=address,undefined -Ddebug-locks=true; then
        echo "FAIL sanitizers-$cc (build)"
        status=1
        continue
    fi
    scripts/test-unit.sh "$dir" "asan-$cc." || status=1
done
exit $status
