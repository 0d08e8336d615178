# set: smoke
# Programs started one after the other, by fork and exec.
n=0; for i in $(seq 500); do /bin/true && n=$((n + 1)); done; echo $n
for i in $(seq 100); do /bin/echo $i; done | md5sum; for i in $(seq 200); do (exit $((i % 7))) || n=$((n + $?)); done; echo $n
