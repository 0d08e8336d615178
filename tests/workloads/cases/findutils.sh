# set: smoke
mkdir -p a/b/c a/d; for i in $(seq 300); do echo $i >a/b/f$i; done; ln -s ../b a/d/l; chmod 600 a/b/f1; : >a/empty
find a -type f | wc -l; find a -name 'f1?' | sort; find a -type l -printf '%p %l\n'; find a -empty | sort; find a -perm 600; find a -size -3c -name 'f?' | sort | xargs cat | paste -sd,
find a -newer a/b/f1 -type f | wc -l | awk '{print ($1>=0)}'; find a -maxdepth 1 | sort; find -L a -name f7 | sort; find a -type f -exec cat {} + | sort -n | tail -n 1; find a -type f -exec sh -c 'echo $#' _ {} +
find a -type f -name 'f2*' -delete; find a -type f | wc -l; find a -type f -print0 | xargs -0 -n 50 sh -c 'echo $#'; seq 1000 | xargs -P 4 -n 100 echo | wc -w; find a -links 1 -type f -uid 0 | wc -l; find a -mmin -5 -type f | wc -l
find a -regex '.*/f[0-9]' | sort | head -n 2; find a -depth | tail -n 1; find nosuch 2>&1; echo $?; find / -xdev -type d -path '/usr/share/doc/b*' | sort | head -n 3; find /usr/lib -xdev | sort | md5sum; find /usr -xdev -type f -perm -4000 | sort; find /etc -type f -size +20k | sort | md5sum
