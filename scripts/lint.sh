#!/bin/bash
# Every static check there is: the project's own scripts, shellcheck, cppcheck and clang-tidy where they are installed. Formatting
# is reported and doesn't fail.
#
# usage: lint.sh [BUILD-DIR]
#   LINT_LIMIT   seconds for each of cppcheck and clang-tidy (default 900); what isn't done by then is said, and no failure
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
status=0
limit=${LINT_LIMIT:-900}
say() { printf '%s\n' "$*" >&2; }
# judge NAME COMMAND...: runs it within the limit
judge() {
    local name=$1 rc=0
    shift
    timeout -k 10 "$limit" "$@" || rc=$?
    case $rc in
    0) ;;
    124 | 137) say "$name was not done within $limit s" ;;
    *) status=1 ;;
    esac
}

scripts/self-tests.sh || status=1
scripts/check-syscalls.py --page || status=1

if command -v shellcheck >/dev/null; then
    git ls-files '*.sh' .ci/run | xargs shellcheck -S warning -e SC1010 || status=1
else
    say "shellcheck is not installed"
fi

mapfile -t sources < <(git ls-files 'src/*.c')
if command -v cppcheck >/dev/null; then
    # What it can't follow: functions that don't return, a task's frame that outlives it, sections that the linker joins.
    judge cppcheck cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" \
        --suppress=unusedStructMember --suppress=nullPointerArithmetic --suppress=preprocessorErrorDirective \
        --suppress=unknownMacro --suppress=missingIncludeSystem --suppress=nullPointerRedundantCheck \
        --suppress=nullPointerArithmeticRedundantCheck --suppress=shiftNegativeLHS --suppress=autoVariables \
        --suppress=comparePointers --suppress=uninitvar --suppress=nullPointer -I src -D__x86_64__ -D_GNU_SOURCE \
        "${sources[@]}"
else
    say "cppcheck is not installed"
fi

if command -v clang-tidy >/dev/null && [ -f "$build/compile_commands.json" ]; then
    # shellcheck disable=SC2016
    judge clang-tidy bash -c 'printf "%s\n" "${@:2}" | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$1" \
        --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-optimization-argument \
        --extra-arg=-Qunused-arguments \
        --extra-arg=-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang 2>/dev/null' \
        lint "$build" "${sources[@]}"
else
    say "clang-tidy or $build/compile_commands.json is missing"
fi

if command -v clang-format >/dev/null; then
    changed=$(git ls-files 'src/*.[ch]' 'tests/*.[ch]' |
        xargs clang-format --dry-run 2>&1 | grep -c 'warning: code should be clang-formatted')
    say "clang-format would change $changed places (make format)"
fi
exit $status
