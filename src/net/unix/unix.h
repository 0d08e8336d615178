// AF_UNIX, for others.
#pragma once

struct strbuf;

void unix_show(struct strbuf *out); // the text of /proc/net/unix
