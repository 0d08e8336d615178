#!/bin/bash
# The checks on the source tree, and the tests of those checks. One line for each.
set -u
cd "$(dirname "$0")/.." || exit 2
status=0
try() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok $name"
    else
        echo "FAIL $name"
        printf '%s\n' "$out" | tail -n 40 | sed 's/^/    /'
        status=1
    fi
}
for check in scripts/check-*.py; do
    name=$(basename "$check" .py)
    try "$name --self-test" "$check" --self-test
    try "$name" "$check"
done
try "bench/self-test" bench/self-test.py
try "bench/counts --self-test" bench/counts.py --self-test
exit $status
