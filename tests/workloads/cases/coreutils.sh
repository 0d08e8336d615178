# set: smoke
set -u; export LC_ALL=C
mkdir -p d/e/f; echo hello >d/a; cp -a d d2; diff -r d d2 && echo same
ln d/a d/hard; ln -s a d/soft; stat -c '%h %F %s %N' d/a d/soft; readlink -f d/soft | sed "s,$PWD,PWD,"
mv d/a d/b; cat d/soft 2>&1; ls -la d | awk '{print $1,$2,$3,$4,$NF}'; rm -r d2; ls
touch -d '2020-01-02 03:04:05.123456789 UTC' t; TZ=UTC stat -c '%y %a %U' t; TZ=UTC date -r t +%s.%N
chmod 4751 t; stat -c %A t; chmod u-s,g+w t; stat -c %a t; chown 1000:1000 t; stat -c %u:%g t; chgrp 0 t
dd if=/dev/zero of=z bs=1M count=5 2>/dev/null; stat -c %s z; truncate -s 10G z; stat -c %s z; truncate -s 3 z; od -c z
dd if=/dev/zero of=sparse bs=1 seek=5G count=1 2>/dev/null; stat -c '%s' sparse; cp --sparse=always sparse s2; stat -c %s s2; tail -c 100 s2 | od -An -tx1 | md5sum; du -k s2 | awk '{print ($1 < 100)}'; rm sparse s2
fallocate -l 100000 fa; stat -c '%s %b' fa
seq 10 | shuf --random-source=/etc/passwd | sort -n | paste -sd,; seq 3 | tac; seq 5 | split -l 2 - sp.; cat sp.ab; rev <<<abc
printf 'b 2\na 1\nc 3\n' >j1; sort j1 >j2; join j2 j2; comm -12 j2 <(sort j1); uniq -c <(printf 'x\nx\ny\n'); cut -d' ' -f2 j2; nl j2; fmt -w 5 j2; fold -w 2 j2; expand j2; od -An -tx1 j2; tsort <<<'a b b c'
md5sum j1; sha256sum j1; sha512sum j1 | cut -c1-20; b2sum j1 | cut -c1-20; cksum j1; sum j1; base64 j1; base32 j1 | base32 -d
basename /a/b.c .c; dirname /a/b.c; realpath -m /a/../b; pwd -P | sed 's,.*/,,'; expr 5 + 3 \* 2; factor 123456789; numfmt --to=iec 1048576; seq -s, 1 2 9; test 1 -lt 2; echo $?
df -P . | awk 'NR==1{print $1,$6}'; id; id -un; whoami; groups; uname -s -m; nproc | awk '{print ($1>0)}'; arch; hostid | wc -c; logname 2>&1 | sed 's/.*: //'; tty; who; users; uptime >/dev/null; echo $?
env -i A=1 env; printenv HOME; nice -n 5 nice; stdbuf -o0 echo unbuf; timeout 1 true; echo $?; chroot / /bin/echo chrooted; nohup echo n 2>/dev/null; sync; echo $?; sync z; mktemp -u XXXXXX | wc -c; mkfifo ff; mknod nn p; stat -c %F ff nn; mknod dev c 1 3; stat -c '%F %t %T' dev; echo x >dev; echo $?
install -D -m 640 j1 x/y/z; stat -c %a x/y/z; rmdir x 2>&1; rm -rf x; unlink t; unlink nosuch 2>&1; ln -s loop loop; cat loop 2>&1; mkdir j1 2>&1; rmdir d 2>&1; cp nosuch x 2>&1; mv j1 /nosuch/x 2>&1; touch /nosuch/y 2>&1; chmod 0 j1; runuser -u nobody -- cat j1 2>&1 || setpriv --reuid 65534 cat j1 2>&1
tail -n 1 j2; tail -c +3 j2; head -c 4 j2; (sleep 0.3; echo new >>j2; sleep 0.7) & timeout 1.5 tail -n 0 -f j2; wc j2; pr -t -2 j2; tr a-c A-C <j2; csplit -s j2 2; cat xx01; ptx j2 | head -n 1; pathchk a; dircolors -b | head -c 10; echo; vdir -d . | cut -c1-10; shred -u j2; ls j2 2>&1; stat -f -c '%l' .; link h1 h2 2>&1; cp -rT d dd; find dd | sort; echo $'a\0b' | tr '\0' n; yes abc | head -c 1000000 | wc -c; sort -m <(seq 1 2 9) <(seq 2 2 9) | paste -sd' '; seq 300000 | sort -r --parallel=2 -S 1M | md5sum
