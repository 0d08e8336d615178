# set: smoke
exec 2>&1; exec dash -c '
x=5; echo $((x*2)) ${x:-1} ${y:-def} ${#x}; set -- a b c; shift; echo "$#" "$*"
f() { local z=1; return 3; }; f; echo $?
for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done | tac
trap "echo bye" EXIT; trap "echo usr1" USR1; kill -USR1 $$
sleep 20 & kill $!; wait $! 2>/dev/null; echo $?
echo "a b" | { read p q; echo "$q $p"; }; cat <<E
in $x
E
v=${x%5}6; echo $v; IFS=,; set -- $(echo 1,2,3); echo $2; unset IFS
(ulimit -n 100; ulimit -n); umask 077; >f; ls -l f | cut -c1-10; printf "%03d %s\n" 7 z
test -f f -a ! -d f && echo file; command -v cat; eval "echo \$x"; exec 5>g; echo to5 >&5; exec 5>&-; cat g
. ./nosuch 2>/dev/null; echo unreached'
