# set: smoke
exec perl -e '
use strict; use warnings; use POSIX qw(:sys_wait_h :errno_h :fcntl_h :signal_h); use Socket; use IO::Handle; use File::Temp; use Time::HiRes qw(usleep alarm); use IPC::Open3; use Fcntl ":flock"; $|=1;
my %h=map{$_=>$_**2}1..5; print join(",",map{"$_=$h{$_}"}sort keys %h),"\n";
my $pid=fork; if(!$pid){exit 7} waitpid($pid,0); print $?>>8,"\n";
pipe(my $r,my $w); if(!fork){close $r; print $w "child\n"; exit} close $w; print <$r>; wait;
print `echo backtick; exit 3`; print $?>>8,"\n"; system("sh","-c","kill -9 \$\$"); print $?&127,"\n";
$SIG{ALRM}=sub{die "alarm\n"}; eval{alarm 0.1; sleep 5}; print $@; $SIG{USR1}=sub{print "usr1\n"}; kill USR1=>$$; 
socketpair(my $a,my $b,AF_UNIX,SOCK_STREAM,PF_UNSPEC); if(!fork){close $a; my $l=<$b>; print $b uc $l; exit} close $b; print $a "hello\n"; $a->flush; print scalar <$a>; wait;
my $o3=open3(my $in,my $out,undef,"tr a-z A-Z"); print $in "open3\n"; close $in; print <$out>; waitpid $o3,0;
open(my $f,"+>","f") or die; print $f "line $_\n" for 1..1000; seek $f,0,0; my $n=0; $n++ while <$f>; print "$n\n"; flock($f,LOCK_EX) and print "locked\n"; if(!fork){open(my $g,"f"); print flock($g,LOCK_EX|LOCK_NB)?"got":"busy","\n"; exit} wait; truncate $f,10; print -s "f","\n";
print "exists\n" if -e "f" && !-d _; mkdir "d"; print((rmdir "d")?"rm\n":"no\n"); open(my $x,"<","nosuch") or print "$!\n"; $!=EACCES; print "$!\n"; opendir(my $d,"/etc/apt"); print join(" ",sort grep{!/^\./}readdir $d),"\n";
rename "f","g"; symlink "g","l"; print readlink "l","\n"; my @s=stat "g"; print "$s[7] $s[3]\n"; utime 1,2,"g"; print +(stat "g")[9],"\n"; chmod 0600,"g"; printf "%o\n",(stat _)[2]&07777; unlink "g","l";
my $s=""; $s.=sprintf("%03d",$_) for 1..10; $s=~s/(\d)0/$1o/g; print "$s\n"; print join("|",split /o/,$s),"\n"; print pack("A3 n C","abc",258,65),"\n" =~ s/\0//r; local $0="renamed"; print((getpwuid 0)[0],"\n"); print strftime("%F",gmtime 0),"\n";
my @k=map{my $p=fork; if(!$p){usleep 1000*$_; exit $_} $p}1..10; my $t=0; while((my $p=waitpid -1,0)>0){$t+=$?>>8} print "$t\n"; my $rin=""; pipe($r,$w); vec($rin,fileno $r,1)=1; print select(my $ro=$rin,undef,undef,0.1),"\n"; syswrite $w,"x"; print select($ro=$rin,undef,undef,1),"\n"; exec "sh","-c","echo exec; exit 5";'
