// The tree of mounts, for vfs/mount*.c. Functions named _locked want mount_ns.lock held.
#pragma once

#include <sys/mount.h>

#include "vfs/vfs-int.h"

#define MOUNTS_MAX 8192
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
// What a mount's flags hold; the rest of mount(2)'s are commands.
#define MOUNT_FLAGS                                                                                                    \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME |        \
     MS_NOSYMFOLLOW)

void mount_link_locked(struct mount_ns *ns, struct mount *m, struct mount *parent, struct dentry *mountpoint);
// Returns the place, whose references pass to the caller.
struct path mount_unlink_locked(struct mount *m);
int mount_attach_locked(struct mount_ns *ns, struct mount *m, const struct path *at);
void mount_detach_tree_locked(struct mount_ns *ns, struct mount *top, struct list *gone);
void mounts_drop(struct list *gone); // no lock held
bool mount_ns_full_locked(const struct mount_ns *ns);
bool mount_is_below(const struct mount *m, const struct mount *ancestor);
void mount_ns_changed(struct mount_ns *ns);
