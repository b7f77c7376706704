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
    _Atomic uint64_t moves; /* reservations and credits under way, of all threads */
    unsigned char spare[HAMI_SLOT_OFFSET_MUTEX - HAMI_SLOT_OFFSET_GPU_NS - 16];
    pthread_mutex_t mutex;
    /* launch budget that comes back when the owner dies */
    _Atomic int64_t leased_ns;       /* taken by its threads and not spent yet, on the wall clock */
    _Atomic uint64_t busy_until_ns;  /* when the GPU should have done its last long launch */
    _Atomic uint32_t busy_percent;   /* at which that was paid */
    unsigned char rest[HAMI_USAGE_SLOT_BYTES - HAMI_SLOT_OFFSET_MUTEX - sizeof(pthread_mutex_t) - 24];
};

/* Behind the totals, for processes of the share only. */
struct ci_notes {
    _Atomic uint32_t high_water; /* slots from here on were never taken */
    _Atomic uint32_t repairing;  /* the slot of who is at it, plus 1: nobody may begin a move */
    _Atomic uint32_t dirty;      /* a process died within a move: the totals may be too high */
    _Atomic uint32_t joins;      /* processes that have joined so far; sleepers wait on it */
    _Atomic uint64_t context_bytes; /* what a context was seen to take, 0: not seen yet */
    _Atomic uint32_t taker;  /* the thread that took launch budget last */
    _Atomic uint32_t turns;  /* how often that was another one than before */
};

/* What glibc calls a mutex that is robust and NORMAL. One that says to be of another kind was
 * scribbled on, and could make glibc end the process that tries it. */
#define CI_MUTEX_KIND 16
#define CI_MUTEX_KINDS 127

#define CI_NOTES_OFFSET HAMI_USAGE_OFFSET_HIGH_WATER

_Static_assert(CI_NOTES_OFFSET >= HAMI_USAGE_HEADER_BYTES + 8 * HAMI_TOTAL_COUNT, "notes behind the totals");
_Static_assert(CI_NOTES_OFFSET + sizeof(struct ci_notes) <= HAMI_USAGE_PAGE_BYTES, "notes in the first page");
_Static_assert(sizeof(struct ci_slot) == HAMI_USAGE_SLOT_BYTES, "slot size");
_Static_assert(offsetof(struct ci_slot, intent) == HAMI_SLOT_OFFSET_INTENT, "intent");
_Static_assert(offsetof(struct ci_slot, bytes) == HAMI_SLOT_OFFSET_BYTES, "bytes");
_Static_assert(offsetof(struct ci_slot, launches) == HAMI_SLOT_OFFSET_LAUNCHES, "launches");
_Static_assert(offsetof(struct ci_slot, mutex) == HAMI_SLOT_OFFSET_MUTEX, "mutex");
_Static_assert(offsetof(struct ci_notes, high_water) == 0, "high water first");
_Static_assert(offsetof(struct ci_slot, mutex) + offsetof(pthread_mutex_t, __data.__lock) == HAMI_SLOT_OFFSET_LOCK,
               "lock of the mutex");
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

static inline struct ci_notes *ci_notes(const struct ci_region *region)
{
    return (struct ci_notes *)(void *)(region->base + CI_NOTES_OFFSET);
}

/* The slots that may be in use; the word is anybody's, so it is no more than a hint. */
static inline int ci_slots_in_use(const struct ci_region *region)
{
    uint32_t count = atomic_load(&ci_notes(region)->high_water);
    return count < HAMI_USAGE_SLOT_COUNT ? (int)count : HAMI_USAGE_SLOT_COUNT;
}

/* A move changes totals and slot together. False: the totals are being put
 * right and somebody keeps that from ending; nothing was begun. */
bool ci_move_begin(struct ci_region *region, struct ci_slot *slot);
void ci_move_end(struct ci_slot *slot);

/* Puts the totals right if a process died within a move; see region_repair.c. */
void ci_region_repair(struct ci_region *region);

/* Empties the slot of a dead process, whose mutex the caller holds, without a
 * move; the totals are dirty afterwards. */
void ci_slot_empty(struct ci_region *region, struct ci_slot *slot);

enum ci_hold { CI_HOLD_ALIVE, CI_HOLD_OURS, CI_HOLD_BROKEN };

/* Tries to become the holder of a slot; what a dead holder left is taken back. */
enum ci_hold ci_slot_try_hold(struct ci_region *region, struct ci_slot *slot, bool *came_back);

/* Subtracts, but never below zero: a damaged word must not turn into a huge one. */
void ci_subtract(_Atomic uint64_t *word, uint64_t amount);

#endif
