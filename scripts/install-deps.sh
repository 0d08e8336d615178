#!/bin/bash
# Installs the Debian packages that a task needs and that are missing.
#
# usage: install-deps.sh build|test|lint|bench|fuzz...
set -euo pipefail
declare -A packages=(
    [build]="gcc libc6-dev meson ninja-build pkg-config make python3 libjson-c-dev libseccomp-dev linux-libc-dev"
    [test]="libcmocka-dev clang libclang-rt-14-dev llvm-14 procps util-linux mount iproute2 tmux libcap2-bin xz-utils
        busybox-static perl python3 strace"
    [lint]="clang-format clang-tidy cppcheck shellcheck git"
    [fuzz]="clang libclang-rt-14-dev llvm-14"
    [bench]="runc crun mmdebstrap python3 perl tar findutils"
)
[ $# -gt 0 ] || set -- build
missing=()
for set in "$@"; do
    if [ -z "${packages[$set]:-}" ]; then
        echo "install-deps.sh: no set of packages is named $set (have: ${!packages[*]})" >&2
        exit 2
    fi
    for p in ${packages[$set]}; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" != installed ]; then
            missing+=("$p")
        fi
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "install-deps.sh: this is not Debian; what is needed there: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps.sh: run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1
}
if ! { install update -qq && install install -y -qq --no-install-recommends "${missing[@]}"; }; then
    cat "$log" >&2
    exit 1
fi
