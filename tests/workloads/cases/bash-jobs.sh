# set: smoke
# Job control in a shell without a terminal: groups of their own, stop, continue, fg, bg, wait -n.
set -m
sleep 30 & jobs -p | wc -l; kill -STOP %1; sleep 0.3; jobs | sed 's/  */ /g'
kill -CONT %1; sleep 0.3; jobs | sed 's/  */ /g'; kill %1; wait %1; echo "s $?"
(sleep 0.2; exit 3) & (sleep 0.6; exit 4) & wait -n; echo "n $?"; wait -n; echo "n $?"
sh -c 'kill -STOP $$; exit 5' & sleep 0.3; jobs %% | sed 's/  */ /g'; fg %% >/dev/null; echo "fg $?"
sh -c 'kill -TSTP $$; echo resumed' ; echo "stopped $?"; bg %% >/dev/null; wait %%; echo "bg $?"
a=$(ps -o pgid= $$ 2>/dev/null); sleep 1 & b=$(ps -o pgid= $! 2>/dev/null); [ "$a" != "$b" ] && echo groups differ; kill $!; wait
disown -a; sleep 0.2 | sleep 0.2 & wait; echo "w $?"
suspend_test() { bash -c 'kill -STOP $BASHPID; echo back'; }; suspend_test & sleep 0.4; kill -CONT %%; wait; echo "st $?"
