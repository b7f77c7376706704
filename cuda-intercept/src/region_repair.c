/*
 * The totals are changed without a lock, so a process that is killed within a
 * move leaves them too high. Each slot counts its moves under way: a dead one
 * with a move makes the totals dirty, and whoever sees it adds all slots up anew.
 * Meanwhile no move begins, and those under way are waited for: they take
 * nanoseconds, but for a process that is stopped within one. That is not waited
 * for long; the totals then stay dirty, and too high, until the next try.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "budget.h"
#include "region_layout.h"

#define PAUSE_NS 50000
#define QUIET_TRIES 400  /* 20 ms at least */
#define BEGIN_TRIES 2000 /* 100 ms at least */

static void pause_shortly(void)
{
    nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
}

bool ci_move_begin(struct ci_region *region, struct ci_slot *slot)
{
    struct ci_notes *notes = ci_notes(region);
    for (int i = 0; i < BEGIN_TRIES; i++) {
        atomic_fetch_add(&slot->moves, 1);
        if (atomic_load(&notes->repairing) == 0)
            return true;
        ci_move_end(slot);
        ci_region_repair(region); /* in case that whoever was at it has died */
        pause_shortly();
    }
    return false;
}

void ci_move_end(struct ci_slot *slot)
{
    ci_subtract(&slot->moves, 1);
}

/* In this order: killed within it, the slot is found with a move again. */
void ci_slot_empty(struct ci_region *region, struct ci_slot *slot)
{
    atomic_store(&ci_notes(region)->dirty, 1);
    for (int kind = 0; kind < CI_KIND_COUNT; kind++)
        atomic_store(&slot->bytes[kind], 0);
    ci_budget_reclaim(region, slot);
    atomic_store(&slot->intent, 0);
    atomic_store(&slot->launches, 0);
    atomic_store(&slot->gpu_ns, 0);
    atomic_store(&slot->moves, 0);
    atomic_store(&slot->state, HAMI_SLOT_FREE);
}

/* The move of a dead process' bytes is counted in its own slot. */
static bool give_back(struct ci_region *region, struct ci_slot *slot)
{
    bool any = false;
    atomic_store(&slot->moves, 1);
    if (atomic_load(&ci_notes(region)->repairing) != 0) {
        ci_slot_empty(region, slot);
        return true;
    }
    for (int kind = 0; kind < CI_KIND_COUNT; kind++) {
        uint64_t bytes = atomic_exchange(&slot->bytes[kind], 0);
        ci_subtract(ci_total(region, HAMI_TOTAL_DEVICE + kind), bytes);
        ci_subtract(ci_total(region, HAMI_TOTAL_CHARGED), bytes);
        any = any || bytes > 0;
    }
    ci_budget_reclaim(region, slot);
    atomic_store(&slot->intent, 0);
    atomic_store(&slot->launches, 0);
    atomic_store(&slot->gpu_ns, 0);
    atomic_store(&slot->moves, 0);
    atomic_store(&slot->state, HAMI_SLOT_FREE);
    return any;
}

enum ci_hold ci_slot_try_hold(struct ci_region *region, struct ci_slot *slot, bool *came_back)
{
    if ((__atomic_load_n(&slot->mutex.__data.__kind, __ATOMIC_RELAXED) & CI_MUTEX_KINDS) != CI_MUTEX_KIND)
        return CI_HOLD_BROKEN;
    int error = pthread_mutex_trylock(&slot->mutex);
    if (error == EBUSY)
        return CI_HOLD_ALIVE;
    if (error != 0 && error != EOWNERDEAD)
        return CI_HOLD_BROKEN;
    if (atomic_load(&slot->moves) != 0) {
        ci_slot_empty(region, slot);
        *came_back = true;
    } else {
        *came_back = give_back(region, slot) || *came_back;
    }
    if (error == EOWNERDEAD)
        pthread_mutex_consistent(&slot->mutex);
    return CI_HOLD_OURS;
}

/* True once no move of the slot is under way. */
static bool wait_until_quiet(struct ci_region *region, struct ci_slot *slot)
{
    bool came_back = false;
    for (int i = 0; i < QUIET_TRIES && atomic_load(&slot->moves) != 0; i++) {
        if (ci_slot_try_hold(region, slot, &came_back) == CI_HOLD_OURS)
            pthread_mutex_unlock(&slot->mutex);
        else
            pause_shortly();
    }
    return atomic_load(&slot->moves) == 0;
}

static void add_up(struct ci_region *region)
{
    uint64_t sums[CI_KIND_COUNT] = {0};
    uint64_t all = 0;
    for (int i = 0; i < ci_slots_in_use(region); i++)
        for (int kind = 0; kind < CI_KIND_COUNT; kind++)
            sums[kind] += atomic_load(&ci_slot(region, i)->bytes[kind]);
    for (int kind = 0; kind < CI_KIND_COUNT; kind++) {
        atomic_store(ci_total(region, HAMI_TOTAL_DEVICE + kind), sums[kind]);
        all += sums[kind];
    }
    atomic_store(ci_total(region, HAMI_TOTAL_CHARGED), all);
}

static bool is_alive(struct ci_region *region, uint32_t mark)
{
    bool came_back = false;
    if (mark == 0 || mark > HAMI_USAGE_SLOT_COUNT)
        return false;
    struct ci_slot *slot = ci_slot(region, (int)mark - 1);
    if (ci_slot_try_hold(region, slot, &came_back) != CI_HOLD_OURS)
        return true;
    pthread_mutex_unlock(&slot->mutex);
    return false;
}

static bool become_repairer(struct ci_region *region)
{
    _Atomic uint32_t *repairing = &ci_notes(region)->repairing;
    uint32_t own = (uint32_t)region->slot + 1;
    uint32_t seen = 0;
    if (region->slot == CI_NO_SLOT)
        return false;
    if (atomic_compare_exchange_strong(repairing, &seen, own))
        return true;
    return !is_alive(region, seen) && atomic_compare_exchange_strong(repairing, &seen, own);
}

void ci_region_repair(struct ci_region *region)
{
    struct ci_notes *notes = ci_notes(region);
    if (!become_repairer(region))
        return; /* somebody is at it */
    atomic_store(&notes->dirty, 0); /* what becomes dirty from here on stays so */
    bool quiet = true;
    for (int i = 0; quiet && i < ci_slots_in_use(region); i++)
        quiet = wait_until_quiet(region, ci_slot(region, i));
    if (quiet)
        add_up(region);
    else
        atomic_store(&notes->dirty, 1);
    atomic_store(&notes->repairing, 0);
}
