/*
 * One helper thread per process holds the mutexes of our slots, from the first
 * call that may take memory until the process dies or calls exec, whichever threads of the
 * program come and go meanwhile. It blocks every signal, and looks after the others.
 */
#define _GNU_SOURCE
#include "process.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "gate.h"
#include "implicit.h"
#include "lazy.h"
#include "lookups.h"
#include "pid.h"
#include "pointers.h"
#include "pools.h"
#include "watch.h"

#define HOLDER_STACK_BYTES (256 * 1024)
#define WAIT_NS 2000000

enum stage { STAGE_OUTSIDE, STAGE_JOINING, STAGE_JOINED };

/* The pid times four, plus its stage: a forked child finds another's pid and
 * joins for itself, however it was made (pthread_atfork misses a bare clone). */
static _Atomic int64_t session;

/* Rises with each stage; who waits for another thread's joining sleeps on it. */
static _Atomic uint32_t steps;

static void enter(int64_t stage)
{
    atomic_store(&session, stage);
    atomic_fetch_add(&steps, 1);
    syscall(SYS_futex, &steps, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Woken too early or too late is no harm: the caller looks again. */
static void wait_for_step(uint32_t seen)
{
    syscall(SYS_futex, &steps, FUTEX_WAIT_PRIVATE, seen, &(struct timespec){0, WAIT_NS}, NULL, 0);
}

static int64_t mark(enum stage stage)
{
    return (int64_t)ci_pid() * 4 + stage;
}

static void join_share(struct ci_config *config, struct ci_share *share)
{
    share->region.slot = CI_NO_SLOT;
    /* a program that has locked itself up since needs no file any more */
    if (config->mode != CI_MODE_FILES || ci_region_is_ready(&share->region)) {
        ci_region_join(&share->region, -1);
        return;
    }
    int fd = ci_share_open_usage(share);
    if (fd < 0)
        return;
    ci_region_join(&share->region, fd);
    close(fd);
}

static void *hold(void *argument)
{
    struct ci_config *config = argument;
    for (int i = 0; i < config->count; i++)
        join_share(config, &config->shares[i]);
    enter(mark(STAGE_JOINED));
    ci_watch(config);
    return NULL;
}

static bool start_holder(struct ci_config *config)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, HOLDER_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, hold, config);
    if (error != 0) /* a program with a lot of static TLS needs the usual size */
        error = pthread_create(&thread, NULL, hold, config);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static void join(struct ci_config *config)
{
    ci_pointers_reset(); /* what a parent allocated is the parent's */
    ci_pools_reset();
    ci_implicit_reset();
    ci_lazy_reset();
    ci_lookups_forget();
    ci_mappings_reset();
    ci_sparse_reset();
    ci_gate_reset();
    for (int i = 0; i < config->count; i++)
        config->shares[i].region.slot = CI_NO_SLOT;
    if (config->count == 0 || !start_holder(config))
        enter(mark(STAGE_JOINED));
}

/* True for the one thread that begins the joining. */
static bool begin_joining(struct ci_config *config)
{
    int64_t seen = atomic_load(&session);
    if (seen == mark(STAGE_JOINING) || seen == mark(STAGE_JOINED) ||
        !atomic_compare_exchange_strong(&session, &seen, mark(STAGE_JOINING)))
        return false;
    join(config);
    return true;
}

struct ci_config *ci_process_join(void)
{
    struct ci_config *config = ci_config_get();
    while (config != NULL && atomic_load(&session) != mark(STAGE_JOINED)) {
        uint32_t step = atomic_load(&steps);
        if (!begin_joining(config) && atomic_load(&session) == mark(STAGE_JOINING))
            wait_for_step(step);
    }
    return config;
}
