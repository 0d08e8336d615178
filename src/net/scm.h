// Control messages of sockets: credentials and descriptors that travel with data. cmsg(3), unix(7).
#pragma once

#include "base/types.h"

struct file;
struct socket;
struct task;

#define SCM_FILES_MAX 253

struct scm_files {
    struct scm_files *next; // of whoever queues it
    uint32_t count;
    uint32_t uid;  // whose account of files in flight it is on, while it is
    struct file *files[]; // references
};

struct scm_creds { // struct ucred
    int32_t pid;
    uint32_t uid, gid;
};

struct scm {
    struct scm_creds creds;
    bool explicit_creds;     // the sender gave them
    struct scm_files *files; // owned; NULL: none
};

// Decodes the control data of a send, kernel memory. Credentials that aren't given are the sender's own. 0, -EINVAL, -EBADF,
// -EPERM, -ESRCH, -ENOMEM; on failure nothing is kept.
int scm_parse(struct task *t, const uint8_t *control, uint64_t size, struct scm *out);
void scm_from_task(struct task *t, struct scm *out); // no control data
void scm_done(struct scm *scm);
void scm_files_free(struct scm_files *fs);
struct scm_files *scm_files_copy(const struct scm_files *fs);

// Where a receiver's control data goes.
struct scm_sink {
    struct task *task;
    uaddr_t at;
    uint64_t room;
    uint64_t used;
    uint32_t flags; // MSG_* of the result: MSG_CTRUNC
};
// One control message: cut, with MSG_CTRUNC, when there is little room. 0 or -EFAULT.
int scm_put(struct scm_sink *sink, int level, int type, const void *data, uint64_t size);
// What came with a message: credentials when the receiver wants them, then descriptors, which are opened for the task.
int scm_deliver(struct scm_sink *sink, struct scm *scm, bool want_creds, bool cloexec);
