# set: smoke
export LC_ALL=C
mkdir -p s/sub; for i in $(seq 200); do head -c $((i * 97)) /usr/bin/perl | tail -c +$((i)) >s/sub/$i; done; ln -s sub/1 s/link; ln s/sub/1 s/hard; chmod 751 s/sub; touch -d @1000000000 s/sub/2; mkfifo s/fifo; head -c 3000000 /dev/zero >s/zero; truncate -s 50M s/sparse; printf x >>s/sparse
(cd s && find . -type f -exec md5sum {} +) | sort >sums
for c in '' --gzip --xz --zstd --bzip2; do tar $c --sort=name --mtime=@0 -cSf t.tar s; tar -tf t.tar | wc -l; rm -rf x; mkdir x; tar -xf t.tar -C x; (cd x/s && find . -type f -exec md5sum {} +) | sort | cmp - sums && echo "same $c"; stat -c '%A %h %F %N %Y' x/s/link x/s/hard x/s/sub x/s/fifo 2>/dev/null | sed 's/ [0-9]*$//'; done
tar -cf - s | (mkdir y; cd y; tar -xpf -); diff -r --no-dereference s/sub y/s/sub && echo piped; TZ=UTC stat -c %y y/s/sub/2; tar --sort=name --mtime=@0 -cf - s/sub | md5sum
head -c 5000000 /usr/bin/perl >b; for z in gzip 'xz -1 -T2' 'zstd -q -T2' bzip2; do $z -k -c b >b.c; $z -d -c b.c | cmp - b && echo "$z ok"; $z -t b.c 2>/dev/null; head -c 1000 b.c | $z -dc >/dev/null 2>&1; echo "trunc $?"; done
gzip -k b; gunzip -l b.gz | tail -n 1; zcat b.gz | cksum; gzip -9 <b | gunzip | cksum; xz -k b; xz -l b.xz | wc -l; zstd -q --rm b -o b.zst; ls b*; zstd -q -d b.zst; cmp b <(xzcat b.xz) && echo eq; tar -xf nosuch.tar 2>&1 | head -n 1; cp -p s/sub/2 .; gzip -N 2; gzip -d 2.gz; stat -c %Y 2
