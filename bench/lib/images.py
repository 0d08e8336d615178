"""The root file systems: Debian 12 made by mmdebstrap, kept in the cache directory, never in the tree.

`minimal` is a minbase Debian. `dev` has interpreters, a compiler, git and sqlite, a git repository
of several thousand files in /srv/tree, and the sources that are configured and built, in /srv/src.
Both get the benchmark's programs in /opt/caisson-bench.
"""

import os
import shutil
import subprocess

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
DEV_PACKAGES = ["python3", "perl", "nodejs", "gcc", "libc6-dev", "make", "git", "sqlite3",
                "ca-certificates", "file"]
SOURCES = ["hello", "lua5.4"]
GUEST_DIR = "/opt/caisson-bench"
DATA_SIZE = 256 * 1024
# What is in the images; a change here makes them anew.
STAMP = "2"

TREE_SCRIPT = r"""
set -e
mkdir -p /srv/tree && cd /srv/tree
cp -r /usr/share/perl /usr/include /usr/lib/python3* /usr/share/doc /usr/share/nodejs . 2>/dev/null || true
find . \( -type l -o -name __pycache__ \) -prune -exec rm -rf {} +
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git init -q -b main .
git config user.name bench && git config user.email bench@localhost && git config gc.auto 0
git add -A && git commit -qm tree
git ls-files | wc -l
"""


class ImageError(Exception):
    pass


def run(argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise ImageError(f"{' '.join(argv[:6])} …: exit status {done.returncode}\n{tail}")
    return done.stdout


def apt(cache, line, arguments, cwd):
    """apt-get with lists and sources of its own, so that the host's configuration stays as it is."""
    home = os.path.join(cache, "apt")
    os.makedirs(os.path.join(home, "lists", "partial"), exist_ok=True)
    os.makedirs(os.path.join(home, "archives", "partial"), exist_ok=True)
    sources = os.path.join(home, "sources.list")
    with open(sources, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    options = [f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null",
               f"Dir::State::Lists={home}/lists", f"Dir::Cache::archives={home}/archives",
               "APT::Sandbox::User=root"]
    base = ["apt-get"] + [word for option in options for word in ("-o", option)]
    run(base + ["-q", "update"], cwd=cwd)
    return run(base + arguments, cwd=cwd)


def fetch_backports_runsc(cache):
    """Unpacks runsc of bookworm-backports beside the installed one. Returns None or why not."""
    target = os.path.join(cache, "runsc-backports")
    if os.path.exists(os.path.join(target, "usr/bin/runsc")):
        return None
    downloads = os.path.join(cache, "downloads")
    os.makedirs(downloads, exist_ok=True)
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    try:
        apt(cache, f"deb {key} {MIRROR} {SUITE}-backports main", ["-q", "download", "runsc"],
            downloads)
        packages = sorted(name for name in os.listdir(downloads) if name.startswith("runsc_"))
        if not packages:
            return "apt-get download left no package"
        run(["dpkg", "-x", os.path.join(downloads, packages[-1]), target])
    except (ImageError, OSError) as error:
        return str(error).splitlines()[0]
    return None


def fetch_sources(cache, target):
    """Upstream archives of the packages that are configured and built."""
    downloads = os.path.join(cache, "downloads")
    os.makedirs(downloads, exist_ok=True)
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    apt(cache, f"deb-src {key} {MIRROR} {SUITE} main",
        ["-q", "source", "--download-only"] + SOURCES, downloads)
    os.makedirs(target, exist_ok=True)
    for package in SOURCES:
        archives = [name for name in sorted(os.listdir(downloads))
                    if name.startswith(package + "_") and ".orig.tar." in name
                    and not name.endswith(".asc")]
        if not archives:
            raise ImageError(f"no source archive of {package}")
        where = os.path.join(target, package)
        os.makedirs(where, exist_ok=True)
        run(["tar", "--no-same-owner", "-C", where, "--strip-components=1", "-xf",
             os.path.join(downloads, archives[-1])])
        run(["tar", "-C", target, "-cf", os.path.join(target, package + ".tar"), package])
        shutil.rmtree(where)


def debootstrap(target, packages):
    temporary = target + ".new"
    shutil.rmtree(temporary, ignore_errors=True)
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
            "--aptopt=APT::Install-Recommends \"false\""]
    if packages:
        argv.append("--include=" + ",".join(packages))
    run(argv + [SUITE, temporary, MIRROR])
    return temporary


def ensure_image(cache, name, native, say):
    target = os.path.join(cache, "images", name)
    stamp = os.path.join(cache, "images", name + ".stamp")
    if os.path.isdir(target) and os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == STAMP:
                return target
    say(f"making the image '{name}' (once)")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = debootstrap(target, DEV_PACKAGES if name == "dev" else [])
    if name == "dev":
        fetch_sources(cache, os.path.join(temporary, "srv/src"))
        run([native, temporary, "--", "sh", "-c", TREE_SCRIPT])
    shutil.rmtree(target, ignore_errors=True)
    os.rename(temporary, target)
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(STAMP)
    return target


def write_data(path):
    """The file that the file rows read; micro.h has the same pattern."""
    data = bytes((i * 131 + (i >> 8) * 17 + (i >> 16) * 7) & 0xFF for i in range(DATA_SIZE))
    with open(path, "wb") as file:
        file.write(data)


def build_host_programs(bench_dir, programs):
    os.makedirs(programs, exist_ok=True)
    run(["make", "-C", bench_dir, f"OUT={programs}", "host"])


def install_programs(bench_dir, native, images):
    """Builds the guest programs with the image's own compiler and libc, and copies them."""
    dev = images["dev"]
    home = dev + GUEST_DIR
    source = os.path.join(home, "src")
    for directory in ("micro", "guest"):
        os.makedirs(os.path.join(source, directory), exist_ok=True)
        for name in os.listdir(os.path.join(bench_dir, directory)):
            copy_if_changed(os.path.join(bench_dir, directory, name),
                            os.path.join(source, directory, name))
    copy_if_changed(os.path.join(bench_dir, "Makefile"), os.path.join(source, "Makefile"))
    run([native, dev, "--", "make", "-C", GUEST_DIR + "/src", f"OUT={GUEST_DIR}", "guest"])
    if not os.path.exists(home + "/data"):
        write_data(home + "/data")
    minimal = images["minimal"] + GUEST_DIR
    os.makedirs(minimal, exist_ok=True)
    for name in ("micro", "micro-static", "agent", "data"):
        copy_if_changed(os.path.join(home, name), os.path.join(minimal, name))


def copy_if_changed(source, target):
    with open(source, "rb") as file:
        data = file.read()
    try:
        with open(target, "rb") as file:
            if file.read() == data:
                return
    except FileNotFoundError:
        pass
    temporary = target + ".new"
    shutil.copy(source, temporary)
    os.rename(temporary, target)
