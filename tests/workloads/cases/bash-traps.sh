# set: smoke
trap 'echo exit $?' EXIT
trap 'echo usr1' USR1; kill -USR1 $$; trap 'echo usr2 $?' USR2
(exit 3); kill -USR2 $$
for s in HUP INT QUIT TERM ALRM RTMIN RTMAX; do trap "echo got $s" $s; kill -$s $$; done
trap '' TERM; kill $$; echo ignored; trap - TERM
(trap 'echo child term; exit 4' TERM; sleep 10 & wait $!) & p=$!; sleep 0.3; kill $p; wait $p; echo "status $?"
sleep 30 & p=$!; sleep 0.2; kill $p; wait $p; echo "term $?"
sleep 30 & p=$!; sleep 0.2; kill -9 $p; wait $p 2>/dev/null; echo "kill $?"
{ sh -c 'kill -SEGV $$'; } 2>/dev/null; echo "segv $?"; { sh -c 'kill -ABRT $$'; } 2>/dev/null; echo "abrt $?"
trap 'echo err $LINENO' ERR; false; trap - ERR
trap 'echo chld' CHLD; sleep 0.1 & wait $! 2>/dev/null; trap - CHLD
trap 'echo debug' DEBUG; :; trap - DEBUG
trap -l | head -n 2; kill -l 9 15
(trap 'echo sub exit' EXIT; true)
bash -c 'trap "echo in; exit 5" INT; kill -INT $$; sleep 1'; echo "int $?"
timeout 0.2 sleep 5; echo "timeout $?"; { timeout -s KILL 0.2 sleep 5; } 2>/dev/null; echo "timeout9 $?"
timeout 0.3 bash -c 'trap "" TERM; sleep 0.6; echo survived'; echo $?
env -i sh -c 'trap "" INT; exec sh -c "kill -INT \$\$; echo inherited"'
nohup sh -c 'kill -HUP $$; echo nohup' 2>/dev/null
{ sleep 0.2; kill -USR1 $$; } & wait $!; echo "wait $?"; wait; exit 6
