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

/* Held from begin to keep or cancel, and while a context ends. A thread may make such a
 * call within one: a green context makes the primary one. */
static pthread_mutex_t mutex;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_mutex(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* By ordinal: what NVML saw of this process beyond its charges, at the last look;
 * plus one, 0: never looked. Guarded by the mutex. */
static uint64_t unseen[DEVICES_MAX];

void ci_implicit_reset(void)
{
    make_mutex();
    memset(unseen, 0, sizeof(unseen));
}

void ci_implicit_lock(void)
{
    ci_process_join(); /* a forked child makes the mutex anew */
    pthread_once(&once, make_mutex);
    pthread_mutex_lock(&mutex);
}

void ci_implicit_unlock(void)
{
    pthread_mutex_unlock(&mutex);
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

/* Code is loaded often, and mostly takes nothing at once: asking the driver is
 * far cheaper than asking NVML, whose last answer serves. */
static void look(struct ci_implicit *implicit, CUdevice ordinal, int kind)
{
    bool is_known = ordinal >= 0 && ordinal < DEVICES_MAX && unseen[ordinal] > 0;
    implicit->has_free = kind == HAMI_TOTAL_MODULE && is_known && read_free(&implicit->free_bytes);
    if (!implicit->has_free)
        implicit->before = ci_gauge_read(ordinal);
    else
        implicit->before = (struct ci_gauge){.has_own = true, .own_bytes = unseen[ordinal] - 1 + implicit->held_bytes};
}

CUresult ci_implicit_begin(struct ci_implicit *implicit, int kind, const struct ci_device *device,
                           uint64_t estimate_bytes)
{
    struct ci_config *config = ci_process_join();
    *implicit = (struct ci_implicit){.estimate_bytes = estimate_bytes};
    if (config == NULL || device->access != CI_ACCESS_SHARED || !ci_ledger_is_usable(config, device))
        return CUDA_SUCCESS;
    ci_implicit_lock();
    implicit->held_bytes = ci_ledger_own(config, device);
    if (ci_charge_begin_device(&implicit->pending, kind, estimate_bytes, device) != CUDA_SUCCESS) {
        pthread_mutex_unlock(&mutex);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    implicit->is_charged = true;
    look(implicit, device->ordinal, kind);
    return CUDA_SUCCESS;
}

static uint64_t grown(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

/* What went beyond what the program itself asked for meanwhile. */
static uint64_t measure(const struct ci_implicit *implicit, bool *is_exact)
{
    const struct ci_device *device = &implicit->pending.device;
    uint64_t charged = ci_ledger_own(implicit->pending.config, device);
    uint64_t asked = grown(implicit->held_bytes + implicit->estimate_bytes, charged);
    uint64_t gone = UINT64_MAX;
    uint64_t free_bytes;
    *is_exact = true;
    if (implicit->has_free && read_free(&free_bytes))
        gone = grown(free_bytes + asked, implicit->free_bytes);
    if (gone == 0)
        return 0;
    struct ci_gauge after = ci_gauge_read(device->ordinal);
    *is_exact = after.has_own;
    if (after.has_own) {
        uint64_t bytes = grown(implicit->before.own_bytes + asked, after.own_bytes);
        bytes = bytes < gone ? bytes : gone;
        if (device->ordinal >= 0 && device->ordinal < DEVICES_MAX)
            unseen[device->ordinal] = grown(charged - implicit->estimate_bytes + bytes, after.own_bytes) + 1;
        return bytes;
    }
    if (after.has_all && implicit->before.has_all)
        return grown(implicit->before.all_bytes + asked, after.all_bytes);
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
    pthread_mutex_unlock(&mutex);
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
    pthread_mutex_unlock(&mutex);
}

void ci_implicit_cancel(struct ci_implicit *implicit)
{
    if (!implicit->is_charged)
        return;
    ci_charge_cancel(&implicit->pending);
    pthread_mutex_unlock(&mutex);
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
