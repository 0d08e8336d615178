// The gofer: the process of a sandbox that opens host files for it. docs/gofer.md.
#pragma once

struct boot_spec;

// Serves the kernel process on BOOT_FD_GOFER from the exports at BOOT_FD_EXPORTS until the channel is closed. Called in the jail,
// with the filter on. Returns the exit status.
int gofer_main(const struct boot_spec *spec);
