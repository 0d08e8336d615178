#!/bin/bash
# Files that the host and a sandbox share: what the host changes while a guest looks, standard descriptors, the gofer's end.
#
#     run.sh CAISSON
#
# A guest's part and the host's part take turns by files in the shared directory: the guest waits for host-N, the host for guest-N.
set -u
caisson=$1
tmp=$(mktemp -d /tmp/caisson-shared-XXXXXX) || exit 2
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
bad=0

result() { # result NAME EXPECTED GOT
    if [ "$2" = "$3" ]; then
        echo "ok $1"
    else
        echo "FAIL $1"
        printf 'expected:\n%s\ngot:\n%s\n' "$2" "$3" | sed 's/^/    /'
        bad=1
    fi
}

await() { # for the host's side: until the guest has made the file
    for _ in $(seq 500); do
        [ -e "$1" ] && return 0
        sleep 0.02
    done
    return 1
}

guest() { # guest DIR SCRIPT: in a sandbox, with DIR at /mnt
    timeout 60 "$caisson" --debug-log /dev/null do -v "$1:/mnt" -- /bin/bash -c "
        turn() { : >/mnt/guest-\$1; for i in \$(seq 500); do [ -e /mnt/host-\$1 ] && return 0; sleep 0.02; done; echo stuck; }
        cd /mnt; $2" 2>&1 </dev/null
}

# NAME, the guest's script with turns in it, the host's part for each turn, what the guest must print.
shared() {
    local dir=$tmp/$1 out=$tmp/$1.out n=0
    mkdir "$dir"
    printf 'first\n' >"$dir/file"
    mkdir "$dir/dir" && printf 'inner\n' >"$dir/dir/inner"
    guest "$dir" "$2" >"$out" &
    local pid=$!
    shift 2
    local want=${*: -1}
    while [ $# -gt 1 ]; do
        n=$((n + 1))
        await "$dir/guest-$n" || break
        (cd "$dir" && eval "$1")
        : >"$dir/host-$n"
        shift
    done
    wait $pid
    result "$(basename "$dir")" "$want" "$(cat "$out")"
}

# Attributes of a cached name may be a second old, so the guest waits that long where it asks by name.
shared contents 'cat file; turn 1; cat file; turn 2; cat file' \
    'printf "second\n" >file' 'printf "x\n" >new && mv new file' $'first\nsecond\nx'
shared appear 'ls new 2>&1; turn 1; cat new; ls | grep -c new' 'echo there >new' \
    $'ls: cannot access \'new\': No such file or directory\nthere\n1'
shared vanish 'cat file; turn 1; sleep 1.1; cat file 2>&1; ls | grep -c file' 'rm file' \
    $'first\ncat: file: No such file or directory\n0'
shared retype 'cat file; turn 1; sleep 1.1; cat file/x; readlink dir' \
    'rm file; mkdir file; echo deep >file/x; rm -r dir; ln -s elsewhere dir' $'first\ndeep\nelsewhere'
shared open_file_outlives_its_name 'exec 3<file; turn 1; sleep 1.1; cat <&3; cat file' \
    'echo other >new; mv new file' $'first\nother'
shared grows_under_a_reader 'exec 3<file; cat <&3; turn 1; cat <&3; stat -c %s file' 'echo more >>file' $'first\nmore\n11'
shared mode_and_owner 'stat -c "%a %u" file; turn 1; sleep 1.1; stat -c %a file' 'chmod 640 file' $'644 0\n640'
shared renamed_directory 'cd dir; cat inner; turn 1; sleep 1.1; cat inner; cat ../moved/inner; ls ..|grep -c ^dir' \
    'mv dir moved' $'inner\ninner\ninner\n0'
shared both_append 'for i in $(seq 200); do echo g >>log; done; turn 1; sort log | uniq -c | tr -s " "' \
    'for i in $(seq 200); do echo h >>log; done' $' 200 g\n 200 h'

# ---- Standard descriptors ----

cd "$tmp" || exit 2
run() { timeout 60 "$caisson" --debug-log /dev/null do -- "$@"; }
{ echo one; run /bin/sh -c 'echo two; echo three >&2' 2>&1; echo four; } >file </dev/null
result output_shares_its_position $'one\ntwo\nthree\nfour' "$(cat file)"
printf 'a\nb\nc\n' >in
{ read -r x; run /bin/sh -c 'read y; echo $y'; read -r z; echo "$x $z"; } <in >file
result input_shares_its_position $'b\na c' "$(cat file)"
echo kept >file
run /bin/sh -c 'echo new' >>file </dev/null
result append $'kept\nnew' "$(cat file)"
result pipe_waits late "$( (sleep 0.5; echo late) | run /bin/cat)"
result pipe_timeout "timed out 142" "$(sleep 3 | run /bin/bash -c 'read -t 0.3 x; s=$?; echo timed out $s')"
result large "$(seq 1 100000 | md5sum)" "$(seq 1 100000 | run /bin/cat | md5sum)"
run /usr/bin/yes 2>"$tmp/err" </dev/null | head -n 1 >file
result closed_pipe y "$(cat file)"
result null_device "0" "$(run /bin/sh -c 'cat | wc -c' </dev/null)"

# ---- The gofer ends ----

timeout 30 "$caisson" --debug-log /dev/null do -- /bin/sleep 20 </dev/null >"$tmp/err" 2>&1 &
pid=$!
command_of() { cat "/proc/$1/cmdline" 2>/dev/null | tr '\0' ' '; }
gofer=
for _ in $(seq 100); do
    for child in $(cat /proc/[0-9]*/stat 2>/dev/null | awk '{print $1}'); do
        case $(command_of "$child") in
        "caisson-sandbox gofer "*)
            parent=$(awk '/^PPid:/{print $2}' "/proc/$child/status" 2>/dev/null)
            grand=$(awk '/^PPid:/{print $2}' "/proc/$parent/status" 2>/dev/null)
            if [ "$parent" = "$pid" ] || [ "$grand" = "$pid" ]; then gofer=$child; fi
            ;;
        esac
    done
    [ -n "$gofer" ] && break
    sleep 0.05
done
sleep 0.5
start=$(date +%s%N)
[ -n "$gofer" ] && kill -9 "$gofer"
wait $pid
status=$?
took=$((($(date +%s%N) - start) / 1000000))
[ $took -lt 3000 ] && took=soon
result gofer_killed "status 137 soon" "status $status $took"
exit $bad
