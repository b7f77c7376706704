/* Which allocation of the program was charged with what. */
#ifndef CI_POINTERS_H
#define CI_POINTERS_H

#include <stdbool.h>
#include <stdint.h>

#define CI_MAX_PARTS 8

struct ci_part {
    int share; /* index in the configuration */
    uint64_t bytes;
};

struct ci_charge {
    int kind; /* HAMI_TOTAL_DEVICE and following */
    int count;
    struct ci_part parts[CI_MAX_PARTS];
};

/* Addresses, arrays and handles are numbered independently by the driver. */
enum ci_space {
    CI_SPACE_ADDRESS,
    CI_SPACE_ARRAY,
    CI_SPACE_MIPMAP,
    CI_SPACE_HANDLE,
    CI_SPACE_CONTEXT,
    CI_SPACE_GREEN_CONTEXT,
    CI_SPACE_MODULE,
    CI_SPACE_LIBRARY,        /* one entry for each context that it was loaded into */
    CI_SPACE_LIBRARY_MODULE, /* charged nothing: says of which library it is a part */
    CI_SPACE_GRAPH,
};

struct ci_pool;

struct ci_allocation {
    struct ci_allocation *next;
    uint64_t key;
    enum ci_space space;
    void *context; /* with which it dies, or NULL */
    struct ci_charge charge;

    /* for handles only, guarded by the mutex of vmm_hooks.c; of contexts: attachments; of graphs: the GPU */
    unsigned int handles;  /* how often the program may release it */
    unsigned int mappings; /* address ranges that keep it; of graphs: ci_growth's trims as it last ran */

    uint64_t owner; /* of a library's module: the library */

    struct ci_pool *pool; /* of stream-ordered memory, which is charged as a whole */
    uint64_t extent;      /* the bytes in it; of a graph: what its nodes ask for; of an array: as computed */
};

void ci_pointers_insert(struct ci_allocation *allocation);

/* Takes the entry out; the caller owns it. NULL: not one of ours. */
struct ci_allocation *ci_pointers_take(enum ci_space space, uint64_t key);

/* Takes one entry that dies with `context` out, or NULL. */
struct ci_allocation *ci_pointers_take_of_context(const void *context);

/* Finds an entry and leaves it in. Only for callers who rule out that another
 * thread takes it meanwhile. */
struct ci_allocation *ci_pointers_find(enum ci_space space, uint64_t key);
/* The same among the entries that die with `context`. */
struct ci_allocation *ci_pointers_find_in(enum ci_space space, uint64_t key, const void *context);

/* Forgets everything, in a child that was forked. */
void ci_pointers_reset(void);

#endif
