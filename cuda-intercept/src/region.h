/*
 * The ledger of one share: the mapped `usage` file, see share_env.h.
 * Every process of the share may write it, so nothing read from it is used as
 * an index, a size or an address; what is damaged closes the share for memory.
 */
#ifndef CI_REGION_H
#define CI_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CI_NO_SLOT (-1)

struct ci_region {
    unsigned char *base; /* NULL: unusable */
    int slot;            /* of this process; written once by the joining thread */
};

/* Maps the file behind `fd`; false when it is too small to hold the layout. */
bool ci_region_map(struct ci_region *region, int fd);

/* A ledger that lives in this process and its children only, set up at once. */
bool ci_region_map_private(struct ci_region *region);

void ci_region_unmap(struct ci_region *region);

/* Sets up the header if nobody has and nobody is at it, so that joining needs no
 * file later. Does not wait. */
void ci_region_prepare(struct ci_region *region, int fd);

/* Sets up the header if nobody has, takes back what dead processes held and
 * claims a slot, held by the calling thread until it dies. `fd`: for the lock
 * among joining processes, -1 for a private ledger. */
bool ci_region_join(struct ci_region *region, int fd);

/* Header and slots of a ledger that nobody has used; true if already done. */
bool ci_region_set_up(struct ci_region *region);

/* True while the header is what join left, whether or not we have a slot. */
bool ci_region_is_ready(const struct ci_region *region);

/* True while header and own slot are what join left. */
bool ci_region_is_intact(const struct ci_region *region);

/* Raises the charged bytes by `bytes` unless that passes `limit`. */
bool ci_region_reserve(struct ci_region *region, int kind, uint64_t bytes, uint64_t limit);
void ci_region_credit(struct ci_region *region, int kind, uint64_t bytes);

/* Frees the slots of dead processes; true if bytes came back. */
bool ci_region_sweep(struct ci_region *region);

/* Rises with each process that joins, and is a futex among all of them. */
const _Atomic uint32_t *ci_region_joins(const struct ci_region *region);

/* Whether any slot but ours is taken; by the dead, too, until they are swept. */
bool ci_region_has_others(const struct ci_region *region);

struct ci_member {
    uint32_t pid;
    uint64_t bytes;
};

/* Writes the processes of the ledger that belong to a pid namespace; returns how
 * many, at most `capacity`. Dead ones are in it until they are swept. */
int ci_region_members(const struct ci_region *region, uint64_t pid_namespace, struct ci_member *members, int capacity);

/* The pid namespace of this process; 0 where /proc does not say. */
uint64_t ci_pid_namespace(void);

/* The bytes that this process holds; 0 without a slot. */
uint64_t ci_region_own(const struct ci_region *region);

/* What a context was seen to take on this share's GPU; 0: nobody knows yet. */
uint64_t ci_region_context_bytes(const struct ci_region *region);
void ci_region_set_context_bytes(struct ci_region *region, uint64_t bytes);

uint64_t ci_region_total(const struct ci_region *region, int total);
void ci_region_count(struct ci_region *region, int total, uint64_t amount);
void ci_region_set(struct ci_region *region, int total, uint64_t value);

#endif
