# set: smoke
# Builtins, expansions, here documents, arrays, arithmetic, read, printf, mapfile, getopts, process substitution.
set -u
a=(one two "three four"); a+=(five); declare -A m=([x]=1 [y]=2)
echo "${#a[@]} ${a[2]} ${a[@]:1:2} ${m[x]}${m[y]}" "${a[*]^^}"
printf '%s|%05d|%x|%q\n' str 42 255 'a b'
f() { local x=$1; ((x > 0)) && f $((x - 1)); echo "f$x"; }
f 3
while IFS=: read -r user _ id _; do [ "$id" -lt 3 ] && echo "$user=$id"; done </etc/passwd
mapfile -t lines < <(seq 1 5); echo "${lines[@]}"
cat <<END
here $((6 * 7)) $(echo inner; exit 3) $?
END
cat <<<"string"
getopts ab: o -b val; echo "$o $OPTARG"
case foobar in f*r) echo matched ;; esac
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
diff <(seq 3) <(seq 4); echo "diff $?"
exec 7>out; echo seven >&7; exec 7>&-; cat out
exec 8<>out; read -r -u 8 l; echo "got $l"; exec 8<&-
shopt -s extglob nullglob
touch a1 a2 b1; echo @(a|b)[12] nothing*; rm a1 a2 b1
pushd / >/dev/null; dirs; popd >/dev/null; type cd printf ls | sed 's/hashed.*//'
ulimit -n 512; ulimit -n; ulimit -c 0; ulimit -c; umask 027; umask; touch mode; stat -c %a mode
(exit 7); echo $?; ! true; echo $?; true | false | true; echo "${PIPESTATUS[@]}"
set -o pipefail; false | true; echo $?
nosuchcommand 2>&1 | sed 's/.*: nosuch/nosuch/'; echo "${PIPESTATUS[0]}"
/etc/passwd 2>&1 | sed 's/.*: //'; echo "${PIPESTATUS[0]}"
read -r -t 0.1 x < <(sleep 0.5); [ $? -gt 128 ] && echo timeout
coproc { while read -r l; do echo "co:$l"; done; }
echo hello >&"${COPROC[1]}"; read -r -u "${COPROC[0]}" l; echo "$l"; eval "exec ${COPROC[1]}>&-"; wait "$COPROC_PID"; echo "coproc $?"
printf '%(%Y)T\n' 86400; TIMEFORMAT=; time true
echo "$BASHPID $$" | awk '{print ($1 == $2)}'; (echo "$BASHPID $$" | awk '{print ($1 == $2)}')
