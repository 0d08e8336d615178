# set: smoke
# limit: 200
# A C project from a Debian source package: built with make -j2, and its own tests passed.
cp -r /usr/src/w/zlib-*/ z && cd z && (./configure --static && make -j2 && make test) >log 2>&1; s=$?; grep -E '^[[:space:]]+\*\*\* .*(OK|FAIL)' log | sort; [ $s = 0 ] || tail -n 20 log; exit $s
