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
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pid.h"
#include "region_layout.h"

#define LOCK_TRIES 8000
#define LOCK_PAUSE_NS 500000

/* Joining processes are few and quick: who waits four seconds has met a process
 * that holds the lock on purpose, and is better off closed. */
static bool lock_file(int fd)
{
    for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        nanosleep(&(struct timespec){0, LOCK_PAUSE_NS}, NULL);
    }
    return fd < 0;
}

static bool init_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    if (pthread_mutexattr_init(&attributes) != 0)
        return false;
    /* NORMAL: a RECURSIVE one lets a second TID 1 of another container in. */
    bool good = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_NORMAL) == 0 &&
                pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0 &&
                pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0 &&
                pthread_mutex_init(mutex, &attributes) == 0;
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

/* Gives back what a dead process held. The slot is emptied first: killed in
 * between, we leave bytes charged that the next lone process puts right. */
static bool take_back(struct ci_region *region, struct ci_slot *slot)
{
    bool any = false;
    for (int kind = 0; kind < CI_KIND_COUNT; kind++) {
        uint64_t bytes = atomic_exchange(&slot->bytes[kind], 0);
        ci_subtract(ci_total(region, HAMI_TOTAL_DEVICE + kind), bytes);
        ci_subtract(ci_total(region, HAMI_TOTAL_CHARGED), bytes);
        any = any || bytes > 0;
    }
    atomic_store(&slot->intent, 0);
    atomic_store(&slot->launches, 0);
    atomic_store(&slot->gpu_ns, 0);
    atomic_store(&slot->state, HAMI_SLOT_FREE);
    return any;
}

enum hold { HOLD_ALIVE, HOLD_OURS, HOLD_BROKEN };

/* Tries to become the holder; what a dead holder left is taken back. */
static enum hold try_hold(struct ci_region *region, struct ci_slot *slot, bool *came_back)
{
    int error = pthread_mutex_trylock(&slot->mutex);
    if (error == EBUSY)
        return HOLD_ALIVE;
    if (error != 0 && error != EOWNERDEAD)
        return HOLD_BROKEN;
    *came_back = take_back(region, slot) || *came_back;
    if (error == EOWNERDEAD)
        pthread_mutex_consistent(&slot->mutex);
    return HOLD_OURS;
}

bool ci_region_sweep(struct ci_region *region)
{
    bool came_back = false;
    for (int i = 0; i < HAMI_USAGE_SLOT_COUNT; i++) {
        struct ci_slot *slot = ci_slot(region, i);
        if (i == region->slot || atomic_load(&slot->state) == HAMI_SLOT_FREE)
            continue;
        if (try_hold(region, slot, &came_back) == HOLD_OURS)
            pthread_mutex_unlock(&slot->mutex);
    }
    return came_back;
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

static void sign(struct ci_slot *slot)
{
    struct stat status;
    atomic_store(&slot->pid, ci_pid());
    atomic_store(&slot->pid_namespace, stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0);
    atomic_store(&slot->start_time, read_start_time());
    atomic_store(&slot->state, HAMI_SLOT_TAKEN);
}

/* With nobody else alive the truth is known: nothing is allocated. */
static void settle_totals(struct ci_region *region)
{
    for (int total = HAMI_TOTAL_CHARGED; total <= HAMI_TOTAL_VIRTUAL; total++)
        atomic_store(ci_total(region, total), 0);
}

static bool claim(struct ci_region *region, bool locked)
{
    bool came_back = false;
    bool alone = locked; /* without the lock somebody may be joining right now */
    int mine = CI_NO_SLOT;
    for (int i = 0; i < HAMI_USAGE_SLOT_COUNT; i++) {
        struct ci_slot *slot = ci_slot(region, i);
        if (mine != CI_NO_SLOT && atomic_load(&slot->state) == HAMI_SLOT_FREE)
            continue;
        enum hold hold = try_hold(region, slot, &came_back);
        if (hold == HOLD_ALIVE)
            alone = false;
        else if (hold == HOLD_OURS && mine == CI_NO_SLOT)
            mine = i;
        else if (hold == HOLD_OURS)
            pthread_mutex_unlock(&slot->mutex);
    }
    if (mine == CI_NO_SLOT)
        return false;
    if (alone)
        settle_totals(region);
    sign(ci_slot(region, mine));
    region->slot = mine;
    return true;
}

bool ci_region_join(struct ci_region *region, int fd)
{
    if (region->base == NULL || !lock_file(fd))
        return false;
    bool joined = ci_region_set_up(region) && claim(region, fd >= 0);
    if (fd >= 0)
        flock(fd, LOCK_UN);
    return joined;
}
