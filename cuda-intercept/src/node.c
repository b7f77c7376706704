#include <stdatomic.h>
#include <string.h>

#include "../include/share_env.h"
#include "config.h"

#define READ_TRIES 64

static uint64_t word64(const unsigned char *node, size_t offset)
{
    return atomic_load((const _Atomic uint64_t *)(const void *)(node + offset));
}

static uint32_t word32(const unsigned char *node, size_t offset)
{
    return atomic_load((const _Atomic uint32_t *)(const void *)(node + offset));
}

/* A page that is damaged, or that a newer plugin lays out in another way, says nothing. */
static bool is_understood(const unsigned char *node)
{
    return node != NULL && word64(node, HAMI_NODE_OFFSET_MAGIC) == HAMI_NODE_MAGIC &&
           word32(node, HAMI_NODE_OFFSET_LAYOUT) == HAMI_NODE_LAYOUT;
}

bool ci_node_read(const unsigned char *node, struct ci_node *page)
{
    if (!is_understood(node))
        return false;
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t before = word64(node, HAMI_NODE_OFFSET_SEQUENCE);
        *page = (struct ci_node){
            .heartbeat_ns = word64(node, HAMI_NODE_OFFSET_HEARTBEAT_NS),
            .unledgered_bytes = word64(node, HAMI_NODE_OFFSET_UNLEDGERED_BYTES),
            .gate = word32(node, HAMI_NODE_OFFSET_GATE),
            .correction = word32(node, HAMI_NODE_OFFSET_CORRECTION),
            .others = word32(node, HAMI_NODE_OFFSET_OTHERS),
        };
        if (before % 2 == 0 && before == word64(node, HAMI_NODE_OFFSET_SEQUENCE))
            break;
    }
    /* each word is written whole: after so many tries any value of it is a good one */
    return true;
}

uint64_t ci_node_unledgered(const unsigned char *node)
{
    struct ci_node page;
    return ci_node_read(node, &page) ? page.unledgered_bytes : 0;
}
