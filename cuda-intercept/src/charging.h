/*
 * The order that every charging hook follows: reserve, ask the driver, then
 * keep the charge with the allocation or give it back.
 */
#ifndef CI_CHARGING_H
#define CI_CHARGING_H

#include "ledger.h"

struct ci_pending {
    struct ci_config *config;
    struct ci_device device;
    struct ci_allocation *entry; /* NULL: nothing is charged for this GPU */
};

/* CUDA_SUCCESS, or CUDA_ERROR_OUT_OF_MEMORY with nothing reserved. */
CUresult ci_charge_begin(struct ci_pending *pending, int kind, uint64_t bytes);            /* current GPU */
CUresult ci_charge_begin_ordinal(struct ci_pending *pending, int kind, uint64_t bytes, CUdevice ordinal);

CUresult ci_charge_begin_device(struct ci_pending *pending, int kind, uint64_t bytes, const struct ci_device *device);

/* Makes the reservation `bytes` exactly; false when they do not fit. */
bool ci_charge_resize(struct ci_pending *pending, uint64_t bytes);

/* The same for any charge, and without regard to the limit. */
bool ci_charge_set(struct ci_config *config, const struct ci_device *device, struct ci_charge *charge, uint64_t bytes);
void ci_charge_force(struct ci_config *config, const struct ci_device *device, struct ci_charge *charge,
                     uint64_t bytes);
/* Adds the parts of another charge of that kind. */
void ci_charge_merge(struct ci_charge *charge, const struct ci_charge *more);
uint64_t ci_charge_bytes(const struct ci_charge *charge);

/* Gives the reservation back. */
void ci_charge_cancel(struct ci_pending *pending);

/* Keeps the reservation with what the driver returned. `dies_with_context`:
 * destroying the current context frees it. */
void ci_charge_keep(struct ci_pending *pending, enum ci_space space, uint64_t key, bool dies_with_context);

/* Gives back what an allocation, taken out of the table, was charged. */
void ci_charge_drop(struct ci_allocation *allocation);

/* Forgets which addresses keep memory, in a child that was forked; vmm_hooks.c. */
void ci_mappings_reset(void);

#endif
