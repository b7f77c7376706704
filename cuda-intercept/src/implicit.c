#define _GNU_SOURCE
#include "implicit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../include/share_env.h"
#include "gauge.h"
#include "process.h"
#include "resolve.h"

#define DEVICES_MAX 64

/* More than any context or image takes: what others took meanwhile. */
#define PLAUSIBLE_BYTES ((uint64_t)2 << 30)

/* By ordinal: held from begin to keep or cancel. A driver that loads code may wait for what runs on
 * its GPU, and that for another GPU, where a thread may have code to load first. */
static pthread_mutex_t mutexes[DEVICES_MAX];

/* Held while a context is made or ends; taken before the other ones. A thread may make such a
 * call within one: a green context makes the primary one. */
static pthread_mutex_t contexts_mutex;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_mutexes(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&contexts_mutex, &attributes);
    for (int i = 0; i < DEVICES_MAX; i++)
        pthread_mutex_init(&mutexes[i], &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* Those of the last number share one. */
static pthread_mutex_t *mutex_of(CUdevice ordinal)
{
    return &mutexes[ordinal >= 0 && ordinal < DEVICES_MAX ? ordinal : DEVICES_MAX - 1];
}

/* NVML's last look at a GPU: what this process held beyond its charges, and what all others held. */
struct last_look {
    bool is_known;
    uint64_t beyond_bytes;
    uint64_t others_bytes;
};

/* By ordinal, each guarded by its GPU's mutex. */
static struct last_look last_looks[DEVICES_MAX];

void ci_implicit_reset(void)
{
    make_mutexes();
    memset(last_looks, 0, sizeof(last_looks));
}

void ci_implicit_lock(void)
{
    ci_process_join(); /* a forked child makes the mutexes anew */
    pthread_once(&once, make_mutexes);
    pthread_mutex_lock(&contexts_mutex);
}

void ci_implicit_unlock(void)
{
    pthread_mutex_unlock(&contexts_mutex);
}

void ci_implicit_lock_gpu(CUdevice ordinal)
{
    pthread_once(&once, make_mutexes);
    pthread_mutex_lock(mutex_of(ordinal));
}

void ci_implicit_unlock_gpu(CUdevice ordinal)
{
    pthread_mutex_unlock(mutex_of(ordinal));
}

static void unlock(const struct ci_implicit *implicit)
{
    ci_implicit_unlock_gpu(implicit->pending.device.ordinal);
}

/* What the driver shows as free in the current context. */
static bool read_free(uint64_t *bytes)
{
    ci_pfn_cuMemGetInfo_v2 read = CI_CALL(cuMemGetInfo_v2);
    size_t free = 0;
    size_t total = 0;
    if (read == NULL || read(&free, &total) != CUDA_SUCCESS)
        return false;
    *bytes = free;
    return true;
}

/* NULL: there is no place for one. */
static struct last_look *last_look_at(CUdevice ordinal)
{
    return ordinal >= 0 && ordinal < DEVICES_MAX ? &last_looks[ordinal] : NULL;
}

/* Code is loaded often, and mostly takes nothing at once: asking the driver is far cheaper
 * than asking NVML, whose last answer serves. */
static void look(struct ci_implicit *implicit, CUdevice ordinal, int kind)
{
    const struct last_look *last = last_look_at(ordinal);
    bool is_cheap = kind == HAMI_TOTAL_MODULE && last != NULL && last->is_known;
    implicit->has_free = is_cheap && read_free(&implicit->free_bytes);
    if (!implicit->has_free)
        implicit->before = ci_gauge_read(ordinal);
    else
        implicit->before = (struct ci_gauge){.has_own = true, .own_bytes = last->beyond_bytes + implicit->held_bytes};
}

CUresult ci_implicit_begin(struct ci_implicit *implicit, int kind, const struct ci_device *device,
                           uint64_t estimate_bytes)
{
    struct ci_config *config = ci_process_join();
    *implicit = (struct ci_implicit){.estimate_bytes = estimate_bytes};
    if (config == NULL || device->access != CI_ACCESS_SHARED || !ci_ledger_is_usable(config, device))
        return CUDA_SUCCESS;
    ci_implicit_lock_gpu(device->ordinal);
    if (ci_charge_begin_device(&implicit->pending, kind, estimate_bytes, device) != CUDA_SUCCESS) {
        ci_implicit_unlock_gpu(device->ordinal);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    implicit->is_charged = true;
    implicit->held_bytes = ci_ledger_own(config, device) - estimate_bytes; /* pools may just have shrunk */
    look(implicit, device->ordinal, kind);
    return CUDA_SUCCESS;
}

/* What went from `before` to `after` beyond what the program itself asked for meanwhile: less than
 * nothing where other threads gave memory back. */
static uint64_t grown(uint64_t before, uint64_t after, int64_t asked)
{
    int64_t bytes = (int64_t)(after - before) - asked;
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* By NVML's figures before and after. The former may be an older one, since when the pages that small
 * allocations begin have come or gone. What the GPU has less free says how many, unless others took or
 * gave back meanwhile: then what is beyond the charges now is believed where it is more. */
static uint64_t own_growth(const struct ci_implicit *implicit, const struct ci_gauge *after, int64_t gone, int64_t asked)
{
    uint64_t bytes = grown(implicit->before.own_bytes, after->own_bytes, asked);
    uint64_t most = grown(implicit->held_bytes, after->own_bytes, asked);
    const struct last_look *last = last_look_at(implicit->pending.device.ordinal);
    if (!implicit->has_free || last == NULL)
        return bytes;
    bool is_alone = after->has_all && after->all_bytes - after->own_bytes == last->others_bytes;
    if (gone < (int64_t)bytes)
        return is_alone && gone > 0 ? (uint64_t)gone : bytes;
    return (uint64_t)gone < most ? (uint64_t)gone : most;
}

static void remember(CUdevice ordinal, const struct ci_gauge *seen, uint64_t charged)
{
    struct last_look *last = last_look_at(ordinal);
    if (last != NULL)
        *last = (struct last_look){true, grown(charged, seen->own_bytes, 0), seen->all_bytes - seen->own_bytes};
}

static uint64_t measure(const struct ci_implicit *implicit, bool *is_exact)
{
    const struct ci_device *device = &implicit->pending.device;
    uint64_t charged = ci_ledger_own(implicit->pending.config, device);
    int64_t asked = (int64_t)(charged - implicit->held_bytes - implicit->estimate_bytes);
    int64_t gone = INT64_MAX;
    uint64_t free_bytes;
    *is_exact = true;
    if (implicit->has_free && read_free(&free_bytes))
        gone = (int64_t)(implicit->free_bytes - free_bytes) - asked;
    if (gone == 0)
        return 0;
    struct ci_gauge after = ci_gauge_read(device->ordinal);
    *is_exact = after.has_own;
    if (after.has_own) {
        uint64_t bytes = own_growth(implicit, &after, gone, asked);
        remember(device->ordinal, &after, charged - implicit->estimate_bytes + bytes);
        return bytes;
    }
    if (after.has_all && implicit->before.has_all)
        return grown(implicit->before.all_bytes, after.all_bytes, asked);
    return implicit->estimate_bytes;
}

static void force(struct ci_implicit *implicit, uint64_t bytes)
{
    ci_charge_force(implicit->pending.config, &implicit->pending.device, &implicit->pending.entry->charge, bytes);
}

/* Others come and go on the GPU. What is not our own may neither end the call
 * nor be charged for ever. */
static void force_inexact(struct ci_implicit *implicit, uint64_t bytes)
{
    uint64_t known = implicit->estimate_bytes;
    bytes = known > 0 && bytes > known ? known : bytes;
    if (bytes < PLAUSIBLE_BYTES)
        force(implicit, bytes);
}

bool ci_implicit_fits(struct ci_implicit *implicit)
{
    bool is_exact = false;
    if (!implicit->is_charged)
        return true;
    uint64_t bytes = measure(implicit, &is_exact);
    if (is_exact)
        return ci_charge_resize(&implicit->pending, bytes);
    force_inexact(implicit, bytes);
    return true;
}

uint64_t ci_implicit_force(struct ci_implicit *implicit)
{
    bool is_exact = false;
    if (!implicit->is_charged)
        return 0;
    uint64_t bytes = measure(implicit, &is_exact);
    if (is_exact)
        force(implicit, bytes);
    else
        force_inexact(implicit, bytes);
    return ci_charge_bytes(&implicit->pending.entry->charge);
}

void ci_implicit_add(struct ci_implicit *implicit, struct ci_allocation *owner)
{
    if (!implicit->is_charged)
        return;
    ci_charge_merge(&owner->charge, &implicit->pending.entry->charge);
    free(implicit->pending.entry);
    unlock(implicit);
}

void ci_implicit_keep(struct ci_implicit *implicit, enum ci_space space, const void *handle, void *context)
{
    if (!implicit->is_charged)
        return;
    struct ci_allocation *entry = implicit->pending.entry;
    entry->space = space;
    entry->key = (uintptr_t)handle;
    entry->context = context;
    ci_pointers_insert(entry);
    unlock(implicit);
}

void ci_implicit_cancel(struct ci_implicit *implicit)
{
    if (!implicit->is_charged)
        return;
    ci_charge_cancel(&implicit->pending);
    unlock(implicit);
}

uint64_t ci_context_estimate(const struct ci_config *config, const struct ci_device *device)
{
    return config == NULL || device->count == 0
               ? 0
               : ci_region_context_bytes(&config->shares[device->shares[0]].region);
}

/* The least that was ever seen is what nobody else's memory was mixed into. */
void ci_context_learn(const struct ci_implicit *implicit)
{
    if (!implicit->is_charged)
        return;
    uint64_t seen = ci_charge_bytes(&implicit->pending.entry->charge);
    struct ci_region *region = &implicit->pending.config->shares[implicit->pending.device.shares[0]].region;
    uint64_t known = ci_region_context_bytes(region);
    if (seen > 0 && seen < PLAUSIBLE_BYTES && (known == 0 || seen < known))
        ci_region_set_context_bytes(region, seen);
}
