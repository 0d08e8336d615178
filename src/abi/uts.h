// What uname(2), /proc/version and /proc/sys/kernel say. A current long-term Linux: programs look
// for features by it.
#pragma once

#define UTS_SYSNAME "Linux"
#define UTS_RELEASE "6.12.0-caisson"
#define UTS_VERSION "#1 SMP PREEMPT_DYNAMIC Caisson"
#define UTS_MACHINE "x86_64"
