#!/bin/sh
# What a sandbox may do on the host, read from /proc: for the real sandbox and for the tests' stand-in.
#
#     run.sh CAISSON
set -u
cd "$(dirname "$0")" || exit 2
build=$(dirname "$1")
status=0
if python3 posture.py self-test >/dev/null; then
    echo "ok posture-self-test"
else
    echo "FAIL posture-self-test"
    status=1
fi
for sandbox in tests/posture/caisson-sandbox-stand-in caisson-sandbox; do
    if [ -x "$build/$sandbox" ]; then
        ./isolated.sh "$1" "$build/$sandbox" posture.py "$(basename $sandbox)" || status=1
    else
        echo "skip posture-$(basename $sandbox) (not built)"
    fi
done
exit $status
