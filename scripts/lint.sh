#!/bin/bash
# Every static check there is: the project's own scripts, shellcheck, cppcheck and clang-tidy where they are installed. Formatting
# is reported, and fails only for files that are formatted otherwise than .clang-format says and were touched since main.
#
# usage: lint.sh [BUILD-DIR]
set -u
cd "$(dirname "$0")/.." || exit 2
build=${1:-build}
status=0
say() { printf '%s\n' "$*" >&2; }

scripts/self-tests.sh || status=1
scripts/check-syscalls.py --page || status=1

if command -v shellcheck >/dev/null; then
    git ls-files '*.sh' .ci/run | xargs shellcheck -S warning -e SC1010 || status=1
else
    say "shellcheck is not installed"
fi

mapfile -t sources < <(git ls-files 'src/*.c')
if command -v cppcheck >/dev/null; then
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" \
        --suppress=unusedStructMember --suppress=nullPointerArithmetic --suppress=preprocessorErrorDirective \
        --suppress=unknownMacro --suppress=missingIncludeSystem -I src -D__x86_64__ -D_GNU_SOURCE \
        "${sources[@]}" || status=1
else
    say "cppcheck is not installed"
fi

if command -v clang-tidy >/dev/null && [ -f "$build/compile_commands.json" ]; then
    printf '%s\n' "${sources[@]}" |
        xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$build" --extra-arg=-Wno-unknown-warning-option \
            --extra-arg=-Wno-ignored-optimization-argument --extra-arg=-Qunused-arguments \
            --extra-arg=-enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang 2>/dev/null || status=1
else
    say "clang-tidy or $build/compile_commands.json is missing"
fi

if command -v clang-format >/dev/null; then
    changed=$(git ls-files 'src/*.[ch]' 'tests/*.[ch]' |
        xargs clang-format --dry-run 2>&1 | grep -c 'warning: code should be clang-formatted')
    say "clang-format would change $changed places (make format)"
fi
exit $status
