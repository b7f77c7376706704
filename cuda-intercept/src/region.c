#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pid.h"
#include "region_layout.h"

static bool map(struct ci_region *region, int flags, int fd)
{
    void *base = mmap(NULL, HAMI_USAGE_FILE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    region->base = base == MAP_FAILED ? NULL : base;
    region->slot = CI_NO_SLOT;
    return region->base != NULL;
}

bool ci_region_map(struct ci_region *region, int fd)
{
    struct stat status;
    *region = (struct ci_region){NULL, CI_NO_SLOT};
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < HAMI_USAGE_FILE_BYTES)
        return false;
    return map(region, MAP_SHARED, fd);
}

bool ci_region_map_private(struct ci_region *region)
{
    if (!map(region, MAP_SHARED | MAP_ANONYMOUS, -1))
        return false;
    if (!ci_region_set_up(region))
        ci_region_unmap(region);
    return region->base != NULL;
}

void ci_region_unmap(struct ci_region *region)
{
    if (region->base != NULL)
        munmap(region->base, HAMI_USAGE_FILE_BYTES);
    region->base = NULL;
}

void ci_subtract(_Atomic uint64_t *word, uint64_t amount)
{
    uint64_t old = atomic_load(word);
    while (!atomic_compare_exchange_weak(word, &old, old > amount ? old - amount : 0))
        continue;
}

bool ci_region_is_ready(const struct ci_region *region)
{
    return region->base != NULL && atomic_load(ci_word64(region, HAMI_USAGE_OFFSET_MAGIC)) == HAMI_USAGE_MAGIC &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_LAYOUT)) == HAMI_USAGE_LAYOUT &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_STATE)) == CI_STATE_READY;
}

static uint64_t own_bytes(const struct ci_slot *slot)
{
    uint64_t sum = 0;
    for (int kind = 0; kind < CI_KIND_COUNT; kind++)
        sum += atomic_load(&slot->bytes[kind]);
    return sum;
}

bool ci_region_is_intact(const struct ci_region *region)
{
    if (region->slot == CI_NO_SLOT || !ci_region_is_ready(region))
        return false;
    const struct ci_slot *slot = ci_slot(region, region->slot);
    return atomic_load(&slot->state) == HAMI_SLOT_TAKEN && atomic_load(&slot->pid) == ci_pid();
}

bool ci_region_reserve(struct ci_region *region, int kind, uint64_t bytes, uint64_t limit)
{
    if (!ci_region_is_intact(region))
        return false;
    struct ci_slot *slot = ci_slot(region, region->slot);
    _Atomic uint64_t *charged = ci_total(region, HAMI_TOTAL_CHARGED);
    if (!ci_move_begin(region, slot))
        return false;
    uint64_t old = atomic_load(charged);
    bool fits;
    do {
        fits = old <= limit && bytes <= limit - old;
    } while (fits && !atomic_compare_exchange_weak(charged, &old, old + bytes));
    if (fits) {
        atomic_fetch_add(ci_total(region, kind), bytes);
        atomic_fetch_add(&slot->bytes[kind - HAMI_TOTAL_DEVICE], bytes);
    }
    ci_move_end(slot);
    return fits;
}

void ci_region_credit(struct ci_region *region, int kind, uint64_t bytes)
{
    if (!ci_region_is_intact(region) || bytes == 0)
        return;
    struct ci_slot *slot = ci_slot(region, region->slot);
    bool orderly = ci_move_begin(region, slot);
    ci_subtract(&slot->bytes[kind - HAMI_TOTAL_DEVICE], bytes);
    if (!orderly) { /* the totals are another's right now: too high until the next repair */
        atomic_store(&ci_notes(region)->dirty, 1);
        return;
    }
    ci_subtract(ci_total(region, kind), bytes);
    ci_subtract(ci_total(region, HAMI_TOTAL_CHARGED), bytes);
    ci_move_end(slot);
}

uint64_t ci_pid_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

int ci_region_members(const struct ci_region *region, uint64_t pid_namespace, struct ci_member *members, int capacity)
{
    int count = 0;
    if (!ci_region_is_ready(region))
        return 0;
    for (int i = 0; i < ci_slots_in_use(region) && count < capacity; i++) {
        const struct ci_slot *slot = ci_slot(region, i);
        if (atomic_load(&slot->state) == HAMI_SLOT_TAKEN && atomic_load(&slot->pid_namespace) == pid_namespace)
            members[count++] = (struct ci_member){atomic_load(&slot->pid), own_bytes(slot)};
    }
    return count;
}

uint64_t ci_region_own(const struct ci_region *region)
{
    return ci_region_is_intact(region) ? own_bytes(ci_slot(region, region->slot)) : 0;
}

uint64_t ci_region_context_bytes(const struct ci_region *region)
{
    return ci_region_is_ready(region) ? atomic_load(&ci_notes(region)->context_bytes) : 0;
}

void ci_region_set_context_bytes(struct ci_region *region, uint64_t bytes)
{
    if (ci_region_is_ready(region))
        atomic_store(&ci_notes(region)->context_bytes, bytes);
}

uint64_t ci_region_total(const struct ci_region *region, int total)
{
    if (region->base == NULL)
        return 0;
    uint64_t value = atomic_load(ci_total(region, total));
    if (total != HAMI_TOTAL_CHARGED || region->slot == CI_NO_SLOT)
        return value;
    uint64_t own = own_bytes(ci_slot(region, region->slot));
    return value > own ? value : own;
}

void ci_region_count(struct ci_region *region, int total, uint64_t amount)
{
    if (ci_region_is_ready(region))
        atomic_fetch_add(ci_total(region, total), amount);
}

void ci_region_set(struct ci_region *region, int total, uint64_t value)
{
    atomic_store(ci_total(region, total), value);
}
