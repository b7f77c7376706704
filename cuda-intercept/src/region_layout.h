/* The bytes of `usage` as C sees them; the numbers are share_env.h's. */
#ifndef CI_REGION_LAYOUT_H
#define CI_REGION_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "../include/share_env.h"
#include "region.h"

#define CI_KIND_COUNT (HAMI_TOTAL_VIRTUAL - HAMI_TOTAL_DEVICE + 1)
#define CI_STATE_UNTOUCHED 0
#define CI_STATE_SETTING_UP 1
#define CI_STATE_READY 2

struct ci_slot {
    _Atomic uint32_t state;
    _Atomic uint32_t pid;
    _Atomic uint64_t pid_namespace;
    _Atomic uint64_t start_time;
    _Atomic uint64_t intent;
    _Atomic uint64_t bytes[CI_KIND_COUNT];
    _Atomic uint64_t launches;
    _Atomic uint64_t gpu_ns;
    unsigned char spare[HAMI_SLOT_OFFSET_MUTEX - HAMI_SLOT_OFFSET_GPU_NS - 8];
    pthread_mutex_t mutex;
    unsigned char rest[HAMI_USAGE_SLOT_BYTES - HAMI_SLOT_OFFSET_MUTEX - sizeof(pthread_mutex_t)];
};

_Static_assert(sizeof(struct ci_slot) == HAMI_USAGE_SLOT_BYTES, "slot size");
_Static_assert(offsetof(struct ci_slot, intent) == HAMI_SLOT_OFFSET_INTENT, "intent");
_Static_assert(offsetof(struct ci_slot, bytes) == HAMI_SLOT_OFFSET_BYTES, "bytes");
_Static_assert(offsetof(struct ci_slot, launches) == HAMI_SLOT_OFFSET_LAUNCHES, "launches");
_Static_assert(offsetof(struct ci_slot, mutex) == HAMI_SLOT_OFFSET_MUTEX, "mutex");
_Static_assert(HAMI_USAGE_SLOTS_OFFSET + HAMI_USAGE_SLOT_COUNT * HAMI_USAGE_SLOT_BYTES == HAMI_USAGE_FILE_BYTES,
               "file size");

static inline _Atomic uint32_t *ci_word32(const struct ci_region *region, size_t offset)
{
    return (_Atomic uint32_t *)(void *)(region->base + offset);
}

static inline _Atomic uint64_t *ci_word64(const struct ci_region *region, size_t offset)
{
    return (_Atomic uint64_t *)(void *)(region->base + offset);
}

static inline _Atomic uint64_t *ci_total(const struct ci_region *region, int total)
{
    return ci_word64(region, HAMI_USAGE_HEADER_BYTES + 8 * (size_t)total);
}

static inline struct ci_slot *ci_slot(const struct ci_region *region, int index)
{
    size_t offset = HAMI_USAGE_SLOTS_OFFSET + HAMI_USAGE_SLOT_BYTES * (size_t)index;
    return (struct ci_slot *)(void *)(region->base + offset);
}

/* Subtracts, but never below zero: a damaged word must not turn into a huge one. */
void ci_subtract(_Atomic uint64_t *word, uint64_t amount);

#endif
