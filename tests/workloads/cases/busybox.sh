# set: smoke
b=/bin/busybox; [ -x /usr/bin/busybox ] && b=/usr/bin/busybox
$b sh -c 'echo $((2+3)); for i in 1 2 3; do echo $i; done | busybox tac; (exit 4); echo $?; trap "echo t" USR1; kill -USR1 $$; sleep 0.1 & wait; echo x | busybox sed s/x/y/'
$b seq 1000 | $b awk '{s+=$1}END{print s}'; $b ls /etc/apt | $b sort; $b tar -cf t.tar /etc/apt 2>/dev/null; $b tar -tf t.tar | $b wc -l; $b gzip -c t.tar | $b gunzip -c | $b md5sum | $b cut -c1-3 | $b wc -c; $b find /etc/apt -type d | $b sort; $b vi --help 2>&1 | $b head -n 1 | $b cut -c 1-7; $b dd if=/dev/zero bs=1k count=10 2>/dev/null | $b wc -c; $b stat -c %s /etc/passwd; $b md5sum /etc/passwd; $b uname -s; $b id -u; $b expr 3 \* 4; $b xargs echo <<<"a b"; $b timeout 1 $b sleep 0; echo $?; $b nosuch 2>&1; echo $?
