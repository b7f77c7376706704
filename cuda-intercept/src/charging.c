#include "charging.h"

#include <stdlib.h>

#include "../include/share_env.h"
#include "cuda_device.h"
#include "greens.h"
#include "pools.h"
#include "process.h"

static CUresult reserve(struct ci_pending *pending, int kind, uint64_t bytes)
{
    if (pending->device.access == CI_ACCESS_FREE || pending->device.access == CI_ACCESS_UNKNOWN)
        return CUDA_SUCCESS;
    /* The entry exists before the driver is asked: afterwards nothing may fail. */
    struct ci_allocation *entry = pending->device.access == CI_ACCESS_CLOSED ? NULL : calloc(1, sizeof(*entry));
    if (entry == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    bool fits = ci_ledger_reserve(pending->config, &pending->device, kind, bytes, &entry->charge);
    if (!fits && ci_pools_shrink(&pending->device)) /* as the driver does before it gives up */
        fits = ci_ledger_reserve(pending->config, &pending->device, kind, bytes, &entry->charge);
    if (!fits) {
        free(entry);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    pending->entry = entry;
    return CUDA_SUCCESS;
}

static bool join(struct ci_pending *pending)
{
    *pending = (struct ci_pending){.config = ci_process_join()};
    return pending->config != NULL;
}

CUresult ci_charge_begin(struct ci_pending *pending, int kind, uint64_t bytes)
{
    if (!join(pending))
        return CUDA_ERROR_OUT_OF_MEMORY;
    pending->device = ci_device_of_context(pending->config);
    return reserve(pending, kind, bytes);
}

CUresult ci_charge_begin_ordinal(struct ci_pending *pending, int kind, uint64_t bytes, CUdevice ordinal)
{
    if (!join(pending))
        return CUDA_ERROR_OUT_OF_MEMORY;
    pending->device = ci_device_of_ordinal(pending->config, ordinal);
    return reserve(pending, kind, bytes);
}

CUresult ci_charge_begin_device(struct ci_pending *pending, int kind, uint64_t bytes, const struct ci_device *device)
{
    if (!join(pending))
        return CUDA_ERROR_OUT_OF_MEMORY;
    pending->device = *device;
    return reserve(pending, kind, bytes);
}

uint64_t ci_charge_bytes(const struct ci_charge *charge)
{
    uint64_t sum = 0;
    for (int i = 0; i < charge->count; i++)
        sum += charge->parts[i].bytes;
    return sum;
}

static void shrink(struct ci_config *config, struct ci_charge *charge, uint64_t surplus)
{
    struct ci_charge back = {.kind = charge->kind};
    while (surplus > 0 && charge->count > 0) {
        struct ci_part *last = &charge->parts[charge->count - 1];
        uint64_t bytes = surplus < last->bytes ? surplus : last->bytes;
        back.parts[back.count++] = (struct ci_part){last->share, bytes};
        last->bytes -= bytes;
        surplus -= bytes;
        if (last->bytes == 0)
            charge->count--;
    }
    ci_ledger_credit(config, &back);
}

void ci_charge_merge(struct ci_charge *charge, const struct ci_charge *more)
{
    for (int i = 0; i < more->count; i++) {
        int at = 0;
        while (at < charge->count && charge->parts[at].share != more->parts[i].share)
            at++;
        if (at == charge->count)
            charge->parts[charge->count++] = (struct ci_part){more->parts[i].share, 0};
        charge->parts[at].bytes += more->parts[i].bytes;
    }
}

bool ci_charge_set(struct ci_config *config, const struct ci_device *device, struct ci_charge *charge, uint64_t bytes)
{
    struct ci_charge more;
    uint64_t held = ci_charge_bytes(charge);
    /* All of it anew and then the old part back would ask for too much at once. */
    if (bytes > held && !ci_ledger_reserve(config, device, charge->kind, bytes - held, &more))
        return false;
    if (bytes > held)
        ci_charge_merge(charge, &more);
    else
        shrink(config, charge, held - bytes);
    return true;
}

void ci_charge_force(struct ci_config *config, const struct ci_device *device, struct ci_charge *charge, uint64_t bytes)
{
    struct ci_charge more;
    uint64_t held = ci_charge_bytes(charge);
    if (bytes <= held) {
        shrink(config, charge, held - bytes);
        return;
    }
    ci_ledger_force(config, device, charge->kind, bytes - held, &more);
    ci_charge_merge(charge, &more);
}

bool ci_charge_resize(struct ci_pending *pending, uint64_t bytes)
{
    if (pending->entry == NULL)
        return true;
    struct ci_charge *charge = &pending->entry->charge;
    return ci_charge_set(pending->config, &pending->device, charge, bytes) ||
           (ci_pools_shrink(&pending->device) && ci_charge_set(pending->config, &pending->device, charge, bytes));
}

void ci_charge_cancel(struct ci_pending *pending)
{
    if (pending->entry != NULL)
        ci_charge_drop(pending->entry);
    pending->entry = NULL;
}

void ci_charge_keep(struct ci_pending *pending, enum ci_space space, uint64_t key, bool dies_with_context)
{
    struct ci_allocation *entry = pending->entry;
    if (entry == NULL)
        return;
    if (dies_with_context)
        entry->context = ci_owning_context();
    entry->space = space;
    entry->key = key;
    entry->handles = 1;
    ci_pointers_insert(entry);
}

void ci_charge_drop(struct ci_allocation *allocation)
{
    struct ci_config *config = ci_config_get();
    if (config != NULL)
        ci_ledger_credit(config, &allocation->charge);
    free(allocation);
}
