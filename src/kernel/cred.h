// Credentials: immutable once published; a change makes a new one. credentials(7), capabilities(7).
#pragma once

#include "base/refcount.h"
#include "base/types.h"

typedef uint64_t kernel_cap_t; // bit n: capability n
#define CAP_FULL ((1ull << 41) - 1)

#define CRED_GROUPS_MAX 65536

struct cred {
    refcount_t refs;
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    kernel_cap_t inheritable, permitted, effective, bounding, ambient;
    uint32_t securebits;
    uint32_t group_count;
    uint32_t *groups; // sorted; kmalloc'ed
};

struct cred *cred_get(const struct cred *c);
void cred_put(const struct cred *c);
struct cred *cred_copy(const struct cred *c); // private copy to change, NULL: no memory
struct cred *cred_create(void);                // all zero: root's ids without capabilities
bool cred_has_group(const struct cred *c, uint32_t gid); // supplementary only
bool cred_in_group(const struct cred *c, uint32_t gid); // fsgid or supplementary
bool cred_capable(const struct cred *c, int cap);       // effective
struct task;
bool capable(struct task *t, int cap);
