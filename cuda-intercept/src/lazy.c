#define _GNU_SOURCE
#include "lazy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../include/share_env.h"
#include "charging.h"
#include "cuda_device.h"
#include "gauge.h"
#include "greens.h"
#include "pools.h"
#include "process.h"
#include "resolve.h"

#define ACCOUNTS_MAX 64
#define PAGE_BYTES ((uint64_t)2 << 20) /* the driver takes no less from the device */
#define LOOK_PERIOD_NS 200000000ULL
#define ATTRIBUTE_MULTIPROCESSORS 16
#define ATTRIBUTE_THREADS_PER_MULTIPROCESSOR 39

static const int limits[CI_LAZY_COUNT] = {
    [CI_LAZY_LOCAL] = CU_LIMIT_STACK_SIZE,
    [CI_LAZY_FIFO] = CU_LIMIT_PRINTF_FIFO_SIZE,
    [CI_LAZY_HEAP] = CU_LIMIT_MALLOC_HEAP_SIZE,
};

struct account {
    const void *context; /* NULL: free */
    struct ci_device device;
    struct ci_charge charge;
    bool has_first;
    size_t first[CI_LAZY_COUNT];     /* the limits that the context began with, whose memory is the context's own */
    uint64_t wanted[CI_LAZY_COUNT];  /* bytes beyond these */
    uint64_t estimate;               /* of what has not been seen yet; it is in the charge */
    bool has_base;
    int64_t base; /* what NVML showed of this process beyond its charges, before the estimate */
    bool is_unlisted; /* by NVML, which is not asked again for each function that is found */
    bool expects_code;
    int64_t code_base; /* as base, before any such code */
    struct ci_charge code;
};

/* All below is guarded by the mutex, but for the flag, which spares programs that
 * raise nothing the rest. */
static struct account accounts[ACCOUNTS_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool any_open;
static uint64_t last_look;
static bool has_kernels; /* of libraries, which may be launched in any context */

/* Of ci_lazy_begin_limit, for ci_lazy_end_limit. */
static struct {
    struct account *account; /* NULL: nothing was charged, and the lock is not held */
    enum ci_lazy kind;
    uint64_t wanted_before;
    uint64_t more;
} changing;
static _Thread_local bool is_changing;

void ci_lazy_reset(void)
{
    pthread_mutex_init(&mutex, NULL); /* it may be held by a thread that the child does not have */
    memset(accounts, 0, sizeof(accounts));
    atomic_store(&any_open, false);
    has_kernels = false;
}

static struct account *find_account(const void *context)
{
    for (int i = 0; i < ACCOUNTS_MAX; i++)
        if (accounts[i].context == context)
            return &accounts[i];
    return NULL;
}

static struct account *open_account(const void *context, const struct ci_device *device)
{
    struct account *account = find_account(context);
    if (account != NULL)
        return account;
    account = find_account(NULL);
    if (account != NULL)
        *account = (struct account){.context = context, .device = *device, .charge = {.kind = HAMI_TOTAL_CONTEXT},
                                    .code = {.kind = HAMI_TOTAL_MODULE}};
    return account;
}

static bool read_first(struct account *account)
{
    ci_pfn_cuCtxGetLimit limit_of = CI_CALL(cuCtxGetLimit);
    bool is_read = limit_of != NULL;
    for (int kind = 0; is_read && !account->has_first && kind < CI_LAZY_COUNT; kind++)
        is_read = limit_of(&account->first[kind], limits[kind]) == CUDA_SUCCESS;
    account->has_first = is_read;
    return is_read;
}

/* The current context, where its GPU is limited and its ledger in order. */
static struct account *current_account(struct ci_config *config)
{
    CUcontext context = config == NULL ? NULL : ci_owning_context();
    if (context == NULL)
        return NULL;
    struct ci_device device = ci_device_of_context(config);
    if (device.access != CI_ACCESS_SHARED || !ci_ledger_is_usable(config, &device))
        return NULL;
    struct account *account = open_account(context, &device);
    return account != NULL && read_first(account) ? account : NULL;
}

/* Threads that the GPU can have under way at once, each with local memory of its own. */
static uint64_t resident_threads(CUdevice ordinal)
{
    ci_pfn_cuDeviceGetAttribute ask = CI_CALL(cuDeviceGetAttribute);
    int multiprocessors = 0;
    int threads = 0;
    if (ask == NULL || ask(&multiprocessors, ATTRIBUTE_MULTIPROCESSORS, ordinal) != CUDA_SUCCESS ||
        ask(&threads, ATTRIBUTE_THREADS_PER_MULTIPROCESSOR, ordinal) != CUDA_SUCCESS || multiprocessors < 0 ||
        threads < 0)
        return 0;
    return (uint64_t)multiprocessors * (uint64_t)threads;
}

static uint64_t bytes_beyond(const struct account *account, enum ci_lazy kind, size_t value)
{
    uint64_t bytes = value > account->first[kind] ? value - account->first[kind] : 0;
    if (kind == CI_LAZY_LOCAL && __builtin_mul_overflow(bytes, resident_threads(account->device.ordinal), &bytes))
        return UINT64_MAX / 2;
    return bytes > UINT64_MAX / 2 ? UINT64_MAX / 2 : (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* False: NVML does not list this process, and estimates stand. */
static bool read_beyond(const struct ci_config *config, const struct account *account, int64_t *bytes)
{
    struct ci_gauge gauge = ci_gauge_read(account->device.ordinal);
    *bytes = (int64_t)gauge.own_bytes - (int64_t)ci_ledger_own(config, &account->device);
    return gauge.has_own;
}

/* Small allocations of the program take whole pages, which is seen too: an estimate
 * gives way only to at least half of it, and to no more than its double. */
static void settle_account(struct ci_config *config, struct account *account)
{
    int64_t beyond;
    if (account->estimate == 0 || !account->has_base || !read_beyond(config, account, &beyond))
        return;
    int64_t estimate = (int64_t)account->estimate;
    int64_t taken = beyond - account->base + estimate;
    if (taken < estimate / 2 || taken <= 0)
        return;
    taken = taken > 2 * estimate ? 2 * estimate : taken;
    uint64_t held = ci_charge_bytes(&account->charge);
    ci_charge_force(config, &account->device, &account->charge, held - account->estimate + (uint64_t)taken);
    account->estimate = 0;
}

static bool charge_more(struct ci_config *config, struct account *account, uint64_t more, bool may_refuse)
{
    settle_account(config, account); /* or what an earlier estimate took would be taken for this one */
    uint64_t bytes = ci_charge_bytes(&account->charge) + more;
    if (account->estimate == 0)
        account->has_base = read_beyond(config, account, &account->base);
    if (!may_refuse)
        ci_charge_force(config, &account->device, &account->charge, bytes);
    else if (!ci_charge_set(config, &account->device, &account->charge, bytes) &&
             (!ci_pools_shrink(&account->device) ||
              !ci_charge_set(config, &account->device, &account->charge, bytes)))
        return false;
    account->estimate += more;
    atomic_store(&any_open, true);
    return true;
}

static void charge_less(struct ci_config *config, struct account *account, uint64_t less)
{
    uint64_t held = ci_charge_bytes(&account->charge);
    ci_charge_force(config, &account->device, &account->charge, held > less ? held - less : 0);
    account->estimate -= less < account->estimate ? less : account->estimate;
}

/* Both ways, since modules take their code along, and so that a look between a free
 * and its credit is made up for by the next one. What an estimate may stand for waits. */
static void settle_code(struct ci_config *config, struct account *account)
{
    int64_t beyond;
    if (!account->expects_code || account->estimate > 0 || !read_beyond(config, account, &beyond))
        return;
    int64_t bytes = (int64_t)ci_charge_bytes(&account->code) + beyond - account->code_base;
    ci_charge_force(config, &account->device, &account->code, bytes > 0 ? (uint64_t)bytes : 0);
}

CUresult ci_lazy_begin_limit(enum ci_lazy kind, size_t value)
{
    struct ci_config *config = ci_process_join();
    is_changing = false;
    pthread_mutex_lock(&mutex);
    struct account *account = current_account(config);
    uint64_t wanted = account == NULL ? 0 : bytes_beyond(account, kind, value);
    if (account == NULL || wanted <= account->wanted[kind]) { /* what the driver has it keeps */
        pthread_mutex_unlock(&mutex);
        return CUDA_SUCCESS;
    }
    changing.account = account;
    changing.kind = kind;
    changing.wanted_before = account->wanted[kind];
    changing.more = wanted - account->wanted[kind];
    if (!charge_more(config, account, changing.more, true)) {
        pthread_mutex_unlock(&mutex);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    account->wanted[kind] = wanted;
    is_changing = true;
    return CUDA_SUCCESS;
}

void ci_lazy_end_limit(CUresult result)
{
    if (!is_changing)
        return;
    struct ci_config *config = ci_config_get();
    if (result != CUDA_SUCCESS) {
        charge_less(config, changing.account, changing.more);
        changing.account->wanted[changing.kind] = changing.wanted_before;
    } else {
        settle_account(config, changing.account);
    }
    is_changing = false;
    pthread_mutex_unlock(&mutex);
}

void ci_lazy_expect_local(size_t bytes)
{
    struct ci_config *config = ci_process_join();
    pthread_mutex_lock(&mutex);
    struct account *account = current_account(config);
    uint64_t wanted = account == NULL ? 0 : bytes_beyond(account, CI_LAZY_LOCAL, bytes);
    if (account != NULL && wanted > account->wanted[CI_LAZY_LOCAL]) {
        charge_more(config, account, wanted - account->wanted[CI_LAZY_LOCAL], false);
        account->wanted[CI_LAZY_LOCAL] = wanted;
    }
    pthread_mutex_unlock(&mutex);
}

static void expect_code(const struct ci_config *config, struct account *account)
{
    int64_t beyond;
    if (account->expects_code || account->is_unlisted)
        return;
    account->is_unlisted = !read_beyond(config, account, &beyond);
    if (account->is_unlisted)
        return;
    account->expects_code = true;
    account->code_base = beyond + (int64_t)account->estimate;
    atomic_store(&any_open, true);
}

void ci_lazy_expect_code(void)
{
    struct ci_config *config = ci_process_join();
    pthread_mutex_lock(&mutex);
    struct account *account = current_account(config);
    if (account != NULL)
        expect_code(config, account);
    pthread_mutex_unlock(&mutex);
}

void ci_lazy_expect_kernels(void)
{
    struct ci_config *config = ci_process_join();
    CUcontext context = ci_owning_context();
    pthread_mutex_lock(&mutex);
    has_kernels = true;
    for (int i = 0; config != NULL && i < ACCOUNTS_MAX; i++)
        if (accounts[i].context != NULL && accounts[i].context != context)
            expect_code(config, &accounts[i]);
    pthread_mutex_unlock(&mutex);
}

void ci_lazy_meet(const void *context, const struct ci_device *device)
{
    struct ci_config *config = ci_process_join();
    if (config == NULL || device->access != CI_ACCESS_SHARED || !ci_ledger_is_usable(config, device))
        return;
    pthread_mutex_lock(&mutex);
    struct account *account = open_account(context, device);
    if (account != NULL && has_kernels)
        expect_code(config, account);
    pthread_mutex_unlock(&mutex);
}

static bool is_time_to_look(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
    if (now_ns - last_look < LOOK_PERIOD_NS)
        return false;
    last_look = now_ns;
    return true;
}

void ci_lazy_settle(void)
{
    if (!atomic_load_explicit(&any_open, memory_order_relaxed))
        return;
    pthread_mutex_lock(&mutex);
    bool is_left = false;
    bool looks = is_time_to_look();
    for (int i = 0; i < ACCOUNTS_MAX; i++) {
        if (looks && accounts[i].context != NULL) {
            settle_account(ci_config_get(), &accounts[i]);
            settle_code(ci_config_get(), &accounts[i]);
        }
        is_left = is_left || accounts[i].estimate > 0 || accounts[i].expects_code;
    }
    atomic_store(&any_open, is_left);
    pthread_mutex_unlock(&mutex);
}

void ci_lazy_forget(const void *context)
{
    pthread_mutex_lock(&mutex);
    struct account *account = context == NULL ? NULL : find_account(context);
    if (account != NULL) {
        ci_ledger_credit(ci_config_get(), &account->charge);
        ci_ledger_credit(ci_config_get(), &account->code);
        *account = (struct account){0};
    }
    pthread_mutex_unlock(&mutex);
}
