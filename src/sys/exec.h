// The start of the first program of a container, or of one that is added to it (docker exec).
#pragma once

struct task;

// Gives t, which runs nothing yet and has files, working directory and credentials, the program's address space and
// registers. path without a slash is searched in envp's PATH. 0, or the errno of execve(2); then nothing has changed.
int exec_initial(struct task *t, const char *path, const char *const argv[], const char *const envp[]);
