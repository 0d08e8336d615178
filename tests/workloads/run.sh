#!/bin/bash
# Runs programs of an ordinary Debian 12 natively and inside, and compares what they print and how they end.
#
# usage: run.sh CAISSON [smoke|all|native] [PATTERN...]
#   smoke     the cases that are marked so, in less than 8 minutes on two CPUs
#   all       every case (the default)
#   native    no sandbox: every case must give the same twice
#   PATTERN   only cases whose name matches one of these shell patterns
#
# Prints a line "ok NAME", "FAIL NAME" or "skip NAME (why)" for each case; lines with # are their comments.
# Exit status: 0 when nothing failed.
#
# cases/NAME.sh, cases/NAME.py: run by bash or python3 in an empty directory of the Debian root file system, once with
#   chroot (and an overlay above, so that the root stays as it is) and once with `CAISSON do --root`. What they print, errors included, and their status must be the same, so
#   they print nothing that changes from run to run.
# host/NAME.sh: run on the host, with CAISSON and ROOT in the environment; what they print is a reason to fail, status 77
#   skips. ../shared/lib.sh has what they share.
#
# Comment lines at the head of a case: `# set: smoke|full`, `# limit: SECONDS` (60 each way),
# `# known: REASON` (differs inside, and why: counted as skipped until it passes).
#
# WORKLOADS_CACHE   where the root file system is kept (default: /var/cache/caisson-tests)
# WORKLOADS_FRESH=1 don't use kept results of native runs
# MIRROR            the Debian mirror (default: what the host's apt uses)
set -u
[ $# -ge 1 ] || { sed -n '4,8p' "$0" | sed 's/^# //' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
caisson=$(readlink -f "$1") set=${2:-all}
shift $(($# > 1 ? 2 : 1))
patterns=("$@")
cache=${WORKLOADS_CACHE:-/var/cache/caisson-tests}
[ -x "$caisson" ] || { echo "run.sh: $1 is not a program" >&2; exit 2; }
if [ "$(id -u)" != 0 ]; then
    echo "skip workloads (root is needed to make a root file system and to chroot)"
    exit 0
fi
mkdir -p "$cache" || exit 2

root=$("$here/make-root.sh" "$cache" "$([ "$set" = smoke ] && echo small || echo full)") || {
    echo "FAIL make-root"
    exit 1
}
stamp=$(cat "$root/stamp")
work=$(mktemp -d "${TMPDIR:-/tmp}/workloads-XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
failed=0

# The cases lie in the root file system: what is below is the same for both runs.
mkdir -p "$root/cases" && cp -pu "$here"/cases/* "$root/cases/" || exit 2

head_of() { # FILE WORD DEFAULT
    local value
    value=$(sed -n "1,12s/^# $2: *//p" "$1" | head -n 1)
    echo "${value:-$3}"
}

# What runs a case: in both worlds an empty directory, the same small environment, a file size limit, no input.
# shellcheck disable=SC2016
inner='mkdir -p /tmp/w && cd /tmp/w && ulimit -f 41943040 && case $1 in *.py) exec python3 -u "/cases/$1" ;; *) exec bash "/cases/$1" ;; esac'
environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb)

native() { # CASE LIMIT OUTPUT
    # shellcheck disable=SC2016
    timeout -k 5 "$2" unshare --mount --pid --fork --kill-child --propagation private sh -c '
        lower=$1 top=$2; shift 2
        mkdir -p "$top" && mount -t tmpfs tmpfs "$top" && mkdir "$top/upper" "$top/work" "$top/root" &&
        mount -t overlay -o "lowerdir=$lower,upperdir=$top/upper,workdir=$top/work" overlay "$top/root" &&
        mount -t proc proc "$top/root/proc" && mount --rbind /dev "$top/root/dev" &&
        exec setsid chroot "$top/root" /usr/bin/env -i "$@"' sh \
        "$root" "$work/top" "${environment[@]}" bash -c "$inner" bash "$1" </dev/null >"$3" 2>&1
}

inside() { # CASE LIMIT OUTPUT
    local words=() variable
    for variable in "${environment[@]}"; do words+=(--env "$variable"); done
    # shellcheck disable=SC1010
    timeout -k 5 "$2" "$caisson" --debug-log "$3.log" do --root "$root" "${words[@]}" -- \
        bash -c "$inner" bash "$1" </dev/null >"$3" 2>&1
}

compare() { # CASE
    local name=${1%.*} file=$here/cases/$1 limit known key start took status expected
    limit=$(head_of "$file" limit 60)
    known=$(head_of "$file" known '')
    key=$name-$(cat "$file" "$root/stamp" | md5sum | cut -c 1-12)
    mkdir -p "$cache/native"
    if [ ! -e "$cache/native/$key.status" ] || [ "${WORKLOADS_FRESH:-0}" = 1 ]; then
        start=$EPOCHSECONDS
        native "$1" "$limit" "$work/native"
        status=$?
        if [ $status = 124 ] || [ $status = 137 ]; then
            echo "FAIL $name (natively: not finished after $limit s)"
            failed=$((failed + 1))
            return
        fi
        cp "$work/native" "$cache/native/$key.out"
        echo "$status $((EPOCHSECONDS - start))" >"$cache/native/$key.status"
    fi
    read -r expected took <"$cache/native/$key.status"
    start=$EPOCHSECONDS
    if [ "$set" = native ]; then native "$1" "$limit" "$work/inside"; else inside "$1" "$limit" "$work/inside"; fi
    status=$?
    if [ $status = "$expected" ] && cmp -s "$cache/native/$key.out" "$work/inside"; then
        echo "ok $name ($((EPOCHSECONDS - start)) s, natively $took s)"
        [ -z "$known" ] || echo "# $name was known to fail: $known"
        return
    fi
    if [ -n "$known" ]; then
        echo "skip $name ($known)"
    else
        failed=$((failed + 1))
        if [ $status = 124 ] || [ $status = 137 ]; then
            echo "FAIL $name (not finished after $limit s, natively $took s)"
        else
            echo "FAIL $name (status $status, natively $expected)"
        fi
    fi
    diff -a "$cache/native/$key.out" "$work/inside" | head -n 30 | cut -c 1-300 | sed 's/^/#   /'
    head -n 5 "$work/inside.log" 2>/dev/null | cut -c 1-300 | sed 's/^/#   log: /'
    cp "$work/inside" "$cache/last-$name.out"
}

on_host() { # SCRIPT
    local name=${1%.*} file=$here/host/$1 limit known status
    limit=$(head_of "$file" limit 60)
    known=$(head_of "$file" known '')
    mkdir -p "$work/host"
    (cd "$work/host" && CAISSON=$caisson ROOT=$root timeout -k 5 "$limit" bash "$file" </dev/null >"$work/output" 2>&1)
    status=$?
    rm -rf "$work/host"
    if [ $status = 0 ] && [ ! -s "$work/output" ]; then
        echo "ok $name"
        [ -z "$known" ] || echo "# $name was known to fail: $known"
        return
    elif [ $status = 77 ]; then
        echo "skip $name ($(head -n 1 "$work/output"))"
        return
    elif [ -n "$known" ]; then
        echo "skip $name ($known)"
    else
        failed=$((failed + 1))
        echo "FAIL $name (status $status)"
    fi
    head -n 30 "$work/output" | cut -c 1-300 | sed 's/^/#   /'
}

wanted() { # FOLDER FILE
    local name=${2%.*} pattern
    [ "$set" != smoke ] || [ "$(head_of "$here/$1/$2" set full)" = smoke ] || return 1
    [ ${#patterns[@]} -gt 0 ] || return 0
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2053
        [[ $name == $pattern ]] && return 0
    done
    return 1
}

for file in "$here"/cases/*; do
    ! wanted cases "$(basename "$file")" || compare "$(basename "$file")"
done
if [ "$set" != native ]; then
    for file in "$here"/host/*.sh; do
        [ -e "$file" ] || continue
        ! wanted host "$(basename "$file")" || on_host "$(basename "$file")"
    done
fi
: "$stamp"
[ $failed = 0 ]
