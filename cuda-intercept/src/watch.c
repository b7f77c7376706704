/*
 * What a killed process held comes back even where nobody calls anything: each
 * process of a share looks after the others, twice a second. A process that is
 * alone in its shares sleeps until another one joins.
 */
#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 500000000L
#define WAIT_MANY 449 /* futex_waitv, of Linux 5.16, which older headers do not name */
#define WORD_OF_32_BITS 2

/* As the kernel reads it. */
struct awaited {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static void pause_a_period(void)
{
    nanosleep(&(struct timespec){0, PERIOD_NS}, NULL);
}

/* Until the number of joins of any share is another one, or a signal that nobody sent. */
static void wait_for_joins(const struct awaited *joins, int count)
{
    long result;
    if (count == 1)
        result = syscall(SYS_futex, joins->address, FUTEX_WAIT, (uint32_t)joins->value, NULL, NULL, 0);
    else
        result = syscall(WAIT_MANY, joins, count, 0, NULL, 0);
    if (result < 0 && errno != EAGAIN && errno != EINTR)
        pause_a_period(); /* no such call here, or it is forbidden */
}

/* The order matters: who joins after the look finds the number that we wait with outdated. */
static bool look_around(struct ci_config *config, struct awaited *joins, int *count)
{
    bool has_others = false;
    *count = 0;
    for (int i = 0; i < config->count; i++) {
        struct ci_region *region = &config->shares[i].region;
        if (!ci_region_is_intact(region))
            continue;
        const _Atomic uint32_t *word = ci_region_joins(region);
        joins[(*count)++] = (struct awaited){atomic_load(word), (uintptr_t)word, WORD_OF_32_BITS, 0};
        ci_region_sweep(region);
        has_others = ci_region_has_others(region) || has_others;
    }
    return has_others;
}

void ci_watch(struct ci_config *config)
{
    struct awaited joins[CI_MAX_SHARES];
    int count;
    for (;;) {
        if (look_around(config, joins, &count))
            pause_a_period();
        else if (count > 0)
            wait_for_joins(joins, count);
        else
            pause(); /* in no share: nothing to look after */
    }
}
