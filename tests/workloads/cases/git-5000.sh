# set: full
# limit: 240
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
git config --global user.name n; git config --global user.email e@x; git config --global gc.autoDetach false
git init -q r; cd r; for d in $(seq 50); do mkdir d$d; for i in $(seq 100); do echo "$d $i" >d$d/f$i; done; done; git add .; git commit -qm one; git status --porcelain | wc -l; for d in $(seq 50); do echo x >>d$d/f7; done; git status --porcelain | wc -l; git commit -qam two; git gc -q --aggressive; git fsck --full 2>&1; cd ..; git clone -q r c; diff -r --exclude .git r c && echo same; git -C c rev-parse HEAD; git clone -q "file://$HOME/r" c2; git -C c2 status --porcelain | wc -l; git -C c2 log --stat | tail -n 1
