/*
 * Slots: who is in the share, and what those who died left behind.
 *
 * A process is alive as long as the robust mutex of its slot is held; the
 * kernel marks it when the holding thread is gone, in whatever way. Pids tell
 * nothing across containers and are written for reports only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pid.h"
#include "region_layout.h"

#define LOCK_TRIES 8000
#define LOCK_PAUSE_MIN_NS 20000
#define LOCK_PAUSE_MAX_NS 500000

static bool init_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0)
        return false;
    /* NORMAL: a RECURSIVE one lets a second TID 1 of another container in. */
    bool good = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_NORMAL) == 0 &&
                pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
                pthread_mutex_init(mutex, &attributes) == 0 &&
                (mutex->__data.__kind & CI_MUTEX_KINDS) == CI_MUTEX_KIND;
    pthread_mutexattr_destroy(&attributes);
    return good;
}

static bool set_up(struct ci_region *region)
{
    memset(region->base + HAMI_USAGE_HEADER_BYTES, 0, HAMI_USAGE_FILE_BYTES - HAMI_USAGE_HEADER_BYTES);
    for (int i = 0; i < HAMI_USAGE_SLOT_COUNT; i++)
        if (!init_mutex(&ci_slot(region, i)->mutex))
            return false;
    atomic_store(ci_word64(region, HAMI_USAGE_OFFSET_MAGIC), HAMI_USAGE_MAGIC);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_LAYOUT), HAMI_USAGE_LAYOUT);
    atomic_store(ci_word64(region, HAMI_USAGE_OFFSET_FILE_BYTES), HAMI_USAGE_FILE_BYTES);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_SLOT_COUNT), HAMI_USAGE_SLOT_COUNT);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_SLOT_BYTES), HAMI_USAGE_SLOT_BYTES);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_SLOTS), HAMI_USAGE_SLOTS_OFFSET);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_TOTALS), HAMI_USAGE_HEADER_BYTES);
    atomic_store(ci_word32(region, HAMI_USAGE_OFFSET_STATE), CI_STATE_READY);
    return true;
}

static bool header_matches(const struct ci_region *region)
{
    return atomic_load(ci_word64(region, HAMI_USAGE_OFFSET_MAGIC)) == HAMI_USAGE_MAGIC &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_LAYOUT)) == HAMI_USAGE_LAYOUT &&
           atomic_load(ci_word64(region, HAMI_USAGE_OFFSET_FILE_BYTES)) == HAMI_USAGE_FILE_BYTES &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_SLOT_COUNT)) == HAMI_USAGE_SLOT_COUNT &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_SLOT_BYTES)) == HAMI_USAGE_SLOT_BYTES &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_SLOTS)) == HAMI_USAGE_SLOTS_OFFSET &&
           atomic_load(ci_word32(region, HAMI_USAGE_OFFSET_TOTALS)) == HAMI_USAGE_HEADER_BYTES;
}

/* Under the lock, so that state 1 means: whoever set it up died at it. */
bool ci_region_set_up(struct ci_region *region)
{
    _Atomic uint32_t *state = ci_word32(region, HAMI_USAGE_OFFSET_STATE);
    uint32_t untouched = CI_STATE_UNTOUCHED;
    if (atomic_compare_exchange_strong(state, &untouched, CI_STATE_SETTING_UP)) {
        bool blank = atomic_load(ci_word64(region, HAMI_USAGE_OFFSET_MAGIC)) == 0;
        return blank && set_up(region);
    }
    if (untouched == CI_STATE_SETTING_UP)
        return set_up(region);
    return untouched == CI_STATE_READY && header_matches(region);
}

bool ci_region_sweep(struct ci_region *region)
{
    bool came_back = false;
    for (int i = 0; i < ci_slots_in_use(region); i++) {
        struct ci_slot *slot = ci_slot(region, i);
        if (i == region->slot || atomic_load(&slot->state) == HAMI_SLOT_FREE)
            continue;
        if (ci_slot_try_hold(region, slot, &came_back) == CI_HOLD_OURS)
            pthread_mutex_unlock(&slot->mutex);
    }
    if (atomic_load(&ci_notes(region)->dirty) != 0)
        ci_region_repair(region);
    return came_back;
}

const _Atomic uint32_t *ci_region_joins(const struct ci_region *region)
{
    return &ci_notes(region)->joins;
}

bool ci_region_has_others(const struct ci_region *region)
{
    for (int i = 0; i < ci_slots_in_use(region); i++)
        if (i != region->slot && atomic_load(&ci_slot(region, i)->state) != HAMI_SLOT_FREE)
            return true;
    return false;
}

/* Who is alone sleeps, and looks after the dead again once somebody has come. */
static void wake_sleepers(struct ci_region *region)
{
    _Atomic uint32_t *joins = &ci_notes(region)->joins;
    atomic_fetch_add(joins, 1);
    syscall(SYS_futex, joins, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint64_t read_start_time(void)
{
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    /* the command may hold spaces and parentheses: fields count from the last one */
    const char *field = strrchr(text, ')');
    for (int i = 2; field != NULL && i < 22; i++)
        field = strchr(field + 1, ' ');
    unsigned long long ticks = 0;
    return field != NULL && sscanf(field, " %llu", &ticks) == 1 ? ticks : 0;
}

/* Who a process is, found out before others wait for it. */
struct signature {
    uint64_t pid_namespace;
    uint64_t start_time;
};

static struct signature make_signature(void)
{
    return (struct signature){ci_pid_namespace(), read_start_time()};
}

static void sign(struct ci_region *region, int index, const struct signature *signature)
{
    struct ci_slot *slot = ci_slot(region, index);
    _Atomic uint32_t *high_water = &ci_notes(region)->high_water;
    uint32_t seen = atomic_load(high_water);
    while (seen < (uint32_t)index + 1 && !atomic_compare_exchange_weak(high_water, &seen, (uint32_t)index + 1))
        continue;
    atomic_store(&slot->pid, ci_pid());
    atomic_store(&slot->pid_namespace, signature->pid_namespace);
    atomic_store(&slot->start_time, signature->start_time);
    atomic_store(&slot->state, HAMI_SLOT_TAKEN);
    region->slot = index;
    wake_sleepers(region);
}

/* Takes the first slot that is free, or whose owner died; others may do so at
 * the same time. Sweeps on the way. */
static bool claim(struct ci_region *region, const struct signature *signature)
{
    bool came_back = false;
    bool alone = true;
    int mine = CI_NO_SLOT;
    int used = ci_slots_in_use(region);
    for (int i = 0; i < HAMI_USAGE_SLOT_COUNT && (mine == CI_NO_SLOT || i < used); i++) {
        struct ci_slot *slot = ci_slot(region, i);
        if (mine != CI_NO_SLOT && atomic_load(&slot->state) == HAMI_SLOT_FREE)
            continue;
        enum ci_hold hold = ci_slot_try_hold(region, slot, &came_back);
        if (hold == CI_HOLD_ALIVE)
            alone = false;
        else if (hold == CI_HOLD_OURS && mine == CI_NO_SLOT)
            mine = i;
        else if (hold == CI_HOLD_OURS)
            pthread_mutex_unlock(&slot->mutex);
    }
    if (mine == CI_NO_SLOT)
        return false;
    /* What is charged while nobody else lives is damage. */
    bool damaged = alone && atomic_load(ci_total(region, HAMI_TOTAL_CHARGED)) != 0;
    sign(region, mine, signature);
    /* a repair that the former owner of the slot died at would be taken for ours */
    uint32_t left_to_us = (uint32_t)mine + 1;
    atomic_compare_exchange_strong(&ci_notes(region)->repairing, &left_to_us, 0);
    if (damaged || left_to_us == (uint32_t)mine + 1 || atomic_load(&ci_notes(region)->dirty) != 0)
        ci_region_repair(region);
    return true;
}

void ci_region_prepare(struct ci_region *region, int fd)
{
    if (region->base == NULL || ci_region_is_ready(region) || flock(fd, LOCK_EX | LOCK_NB) != 0)
        return;
    ci_region_set_up(region);
    flock(fd, LOCK_UN);
}

/* Only one process may set the file up, and the lock of one that died is free.
 * Who waits for seconds has met a process that holds the lock on purpose, and is
 * better off closed. */
static bool set_up_once(struct ci_region *region, int fd)
{
    long pause_ns = LOCK_PAUSE_MIN_NS;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (ci_region_is_ready(region))
            return header_matches(region);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) {
            bool good = ci_region_set_up(region);
            if (fd >= 0)
                flock(fd, LOCK_UN);
            return good;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        nanosleep(&(struct timespec){0, pause_ns}, NULL);
        pause_ns = pause_ns * 2 < LOCK_PAUSE_MAX_NS ? pause_ns * 2 : LOCK_PAUSE_MAX_NS;
    }
    return false;
}

bool ci_region_join(struct ci_region *region, int fd)
{
    if (region->base == NULL)
        return false;
    struct signature signature = make_signature();
    return set_up_once(region, fd) && claim(region, &signature);
}
