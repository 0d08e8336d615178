// Shared by the files that read config.json.
#pragma once

#include "runtime/config.h"
#include "runtime/json.h"

int config_parse_mounts(const struct json_node *root, struct container *c, struct error *e);
