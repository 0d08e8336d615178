#!/bin/bash
# Installs what the benchmarks need from Debian. Runtimes are optional: one that cannot be had is a
# missing column, with a line that says so. The newer runsc (bookworm-backports) is not installed but
# unpacked into the cache directory by run.py.
set -euo pipefail
required="python3 gcc libc6-dev make mmdebstrap tar xz-utils dpkg-dev debian-archive-keyring"
optional="runc crun runsc"

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing=() wanted=()
for p in $required; do
    is_installed "$p" || missing+=("$p")
done
for p in $optional; do
    is_installed "$p" || wanted+=("$p")
done
[ $((${#missing[@]} + ${#wanted[@]})) -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "bench/install-deps.sh: this is not Debian; what is needed: ${missing[*]}, and for columns: ${wanted[*]}" >&2
    [ ${#missing[@]} = 0 ]
    exit
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2
}
apt update || echo "bench/install-deps.sh: apt-get update failed, going on with the lists that are there" >&2
[ ${#missing[@]} = 0 ] || apt install -y --no-install-recommends "${missing[@]}"
for p in "${wanted[@]}"; do
    apt install -y --no-install-recommends "$p" || echo "bench/install-deps.sh: no $p: its column will be missing" >&2
done
