# set: smoke
seq 1 100000 | grep 7 | sort -rn | head -n 3
yes | head -n 5 | wc -l
yes 2>/dev/null | head -n 1 >/dev/null; echo "${PIPESTATUS[@]}"
(trap '' PIPE; yes 2>&1 >/dev/full | sed 's/.*: //')
head -c 10000000 /dev/zero | tr '\0' x | md5sum
head -c 3000000 /dev/zero | tee >(md5sum >sum1) | md5sum; sleep 0.3; cat sum1
mkfifo p; (for i in 1 2 3; do echo "w$i"; done >p) & cat p; wait
{ echo out; echo err >&2; } 2>&1 >/dev/null | cat
{ echo a; sleep 0.1; echo b; } | { read -r x; read -r y; echo "$y$x"; }
for i in $(seq 20); do echo "$i" | cat | cat | cat | cat; done | paste -sd+ | bc 2>/dev/null || echo nobc
seq 1 200000 | sort -R | sort -n | cksum
: | cat; echo "empty $?"; cat </dev/null | wc -c
(sleep 0.2; echo late) | cat; echo done
exec 3< <(echo sub); cat <&3
cat nosuch 2>&1; echo $?
echo x | (read -r; exit 9); echo "${PIPESTATUS[@]}"
seq 3 >f; cat f >>f 2>&1; wc -l <f; echo more | cat f - | tail -n 1
