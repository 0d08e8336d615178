// Shared by the files that implement fs/host-node.h.
#pragma once

#include "fs/hostfs/client.h"

// What a request says of its object: a name in a directory, or the object's own node.
struct node_address {
    gofer_node_t node;
    uint32_t name_size; // 0: none
    char name[GOFER_NAME_MAX + 1];
};

// by_name: even if it has a node of its own.
int node_address(struct host_node *n, bool by_name, struct node_address *out);
int node_dir_id(struct host_node *n, gofer_node_t *ret); // n's own node, made if need be
void node_set_gofer(struct host_node *n, gofer_node_t id);
void node_expect(const struct host_node *n, struct gofer_request *request);
int node_ask(struct host_node *n, struct gofer_request *request, const void *data, uint64_t data_size,
             struct gofer_message **ret);
int node_ask_done(struct host_node *n, struct gofer_request *request, const void *data, uint64_t data_size);
void node_drop_fds(struct gofer_client *c, struct host_node *n);  // unless somebody uses them
void node_close_fds(struct gofer_client *c, struct host_node *n); // the last reference is gone
void node_adopt_fd(struct host_node *n, bool write, int fd);     // a donated descriptor
