# set: full
# limit: 500
# A C project of more than 100,000 lines from a Debian source package: configured, built and tested.
cp -r /usr/src/w/gawk-*/ g && cd g && find . -type f -exec touch -d @1700000000 {} + || exit 2
find . -name '*.[chy]' -exec cat {} + | wc -l
(./configure && make -j2 -C support && make -j2 gawk && make -j2 -C extension) >log 2>&1
s=$?; echo "build $s"; [ $s = 0 ] || { tail -n 20 log; exit 1; }
make -C test check >check.log 2>&1; s=$?
grep -E 'ALL TESTS PASSED|TESTS? FAILED' check.log; ls test/_* 2>/dev/null; exit $s
