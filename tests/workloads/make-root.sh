#!/bin/bash
# Makes a Debian 12 root file system for the workloads, once, and prints where it is.
#
# usage: make-root.sh CACHE small|full
#
# A full one serves for small, too. It is made under another name and renamed, so that a half-made one is never used; a
# lock keeps two runs from making it at the same time. MIRROR names the mirror (default: http://deb.debian.org/debian).
set -euo pipefail
cache=$1 kind=$2
mirror=${MIRROR:-http://deb.debian.org/debian}
small="bash,dash,coreutils,findutils,grep,sed,gawk,tar,gzip,xz-utils,zstd,bzip2,perl,python3,python3-distutils,make,gcc,g++"
small+=",libc6-dev,dpkg-dev,git,sqlite3,busybox-static,bc,procps,util-linux,file,diffutils,patch,tmux"
full="$small,libpython3.11-testsuite,python3-venv,cmake,nodejs,golang-go,openjdk-17-jdk-headless,bsdextrautils,expect"
full+=",strace,gdb,jq,tcl,lua5.4,less,vim-tiny"
declare -A packages=([small]=$small [full]=$full) sources=([small]="zlib" [full]="zlib gawk lua5.4 bc")

exec 9>"$cache/lock"
flock 9
for found in "$kind" full; do
    # The packages are part of the name: another list makes another root.
    root=$cache/debian12-$found-$(echo "${packages[$found]} ${sources[$found]}" | md5sum | cut -c 1-8)
    if [ -e "$root/stamp" ]; then
        echo "$root"
        exit 0
    fi
done
root=$cache/debian12-$kind-$(echo "${packages[$kind]} ${sources[$kind]}" | md5sum | cut -c 1-8)

if ! command -v mmdebstrap >/dev/null; then
    {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mmdebstrap
    } >&2
fi
echo "# making a root file system in $root" >&2
rm -rf "$root" "$root.new"
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=minbase --include="${packages[$kind]}" --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="echo 'deb-src $mirror bookworm main' >\"\$1/etc/apt/sources.list.d/sources.list\"" \
    --customize-hook='chroot "$1" apt-get update -qq' \
    --customize-hook="chroot \"\$1\" sh -c 'mkdir -p /usr/src/w && cd /usr/src/w && apt-get -o APT::Sandbox::User=root source -qq ${sources[$kind]} && rm -f *.tar.* *.dsc'" \
    bookworm "$root.new" "$mirror" >&2
mkdir -p "$root.new/cases"
# shellcheck disable=SC2016
chroot "$root.new" dpkg-query -W -f '${Package} ${Version}\n' | md5sum >"$root.new/stamp"
mv "$root.new" "$root"
echo "$root"
