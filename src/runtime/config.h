// An OCI bundle's config.json as a container.
#pragma once

#include "runtime/container.h"

enum { CONFIG_FILE_MAX = 16 << 20 };

// Fills *c (its pool and id are set) from the text of config.json. c->bundle must be set: relative paths start there.
// Checks everything that doesn't need the host's files. What is asked for and not done yet is noted in c->warnings; what
// would be wrong without is an error.
int config_parse(const char *text, uint64_t size, struct container *c, struct error *e);
// Reads BUNDLE/config.json.
int config_load(const char *bundle, struct container *c, struct error *e);
