#include <stdatomic.h>
#include <string.h>

#include "../include/share_env.h"
#include "config.h"

#define READ_TRIES 64

static uint64_t word64(const unsigned char *node, size_t offset)
{
    return atomic_load((const _Atomic uint64_t *)(const void *)(node + offset));
}

uint64_t ci_node_unledgered(const unsigned char *node)
{
    if (node == NULL || word64(node, HAMI_NODE_OFFSET_MAGIC) != HAMI_NODE_MAGIC)
        return 0;
    uint64_t bytes = 0;
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t before = word64(node, HAMI_NODE_OFFSET_SEQUENCE);
        bytes = word64(node, HAMI_NODE_OFFSET_UNLEDGERED_BYTES);
        if (before % 2 == 0 && before == word64(node, HAMI_NODE_OFFSET_SEQUENCE))
            break;
    }
    /* the word is written whole: after so many tries any value of it is a good one */
    return bytes;
}
