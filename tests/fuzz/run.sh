#!/bin/bash
# Builds the fuzz targets with clang and runs each for a while, from the corpus in the tree.
#
# usage: run.sh [TARGET...]
#   FUZZ_SECONDS   for each target (default 60)
#   FUZZ_KEEP      directory that keeps what was found, per target (default build-fuzz/found)
# A crash leaves its input there as crash-*; `build-fuzz/tests/fuzz/fuzz-TARGET FILE` repeats it.
set -u
cd "$(dirname "$0")/../.." || exit 2
seconds=${FUZZ_SECONDS:-60}
if ! command -v clang >/dev/null; then
    echo "skip fuzz (clang is not installed)"
    exit 0
fi
compiler=clang
command -v ccache >/dev/null && compiler="ccache clang"
if ! CC=$compiler scripts/build.sh build-fuzz -Dfuzz=true -Dtests=false -Db_sanitize=address,undefined \
    -Ddebug-locks=true; then
    echo "FAIL fuzz (build)"
    exit 1
fi
keep=${FUZZ_KEEP:-$PWD/build-fuzz/found}
names=()
export ASAN_OPTIONS=handle_segv=1:detect_leaks=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
fuzz() {
    local program=$1 name=$2 corpus=tests/fuzz/corpus/$2 dictionary=()
    mkdir -p "$keep/$name"
    # Inputs in the tree are read, and what is found stays with the build.
    [ -d "$corpus" ] || corpus=
    [ -f "tests/fuzz/$name.dict" ] && dictionary=("-dict=tests/fuzz/$name.dict")
    if timeout -k 10 $((seconds * 2 + 60)) "$program" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$keep/$name/" "${dictionary[@]}" "$keep/$name" ${corpus:+"$corpus"} \
        >"$keep/$name.log" 2>&1; then
        echo "ok fuzz-$name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$keep/$name.log") runs)"
    else
        echo "FAIL fuzz-$name"
        tail -n 40 "$keep/$name.log" | sed 's/^/    /'
    fi
}
# As many at a time as there are processors; what each says is printed when it has ended.
found=0
for program in build-fuzz/tests/fuzz/fuzz-*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=$(basename "$program" | sed 's/^fuzz-//')
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    found=$((found + 1))
    while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do
        wait -n
    done
    mkdir -p "$keep"
    fuzz "$program" "$name" >"$keep/$name.result" &
    names+=("$name")
done
wait
[ $found -gt 0 ] || { echo "FAIL fuzz (no such target)"; exit 1; }
status=0
for name in "${names[@]}"; do
    cat "$keep/$name.result"
    grep -q '^ok ' "$keep/$name.result" || status=1
done
exit $status
