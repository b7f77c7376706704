/* What a GPU's shares allow, and the moves on their ledgers. */
#ifndef CI_LEDGER_H
#define CI_LEDGER_H

#include "abi.h"
#include "config.h"
#include "pointers.h"

enum ci_access {
    CI_ACCESS_FREE,    /* nobody limits this GPU */
    CI_ACCESS_SHARED,  /* by the shares below */
    CI_ACCESS_CLOSED,  /* no share of ours: no memory */
    CI_ACCESS_UNKNOWN, /* the driver could not say which GPU: it will fail by itself */
};

/* A GPU as this process may use it. */
struct ci_device {
    enum ci_access access;
    int ordinal;
    int count;
    int shares[CI_MAX_PARTS]; /* indices in the configuration, in charging order */
};

struct ci_memory {
    uint64_t total;
    uint64_t used;
    uint64_t free;
};

/* `ordinal`: the device's number, for limits given by number. */
struct ci_device ci_device_find(const struct ci_config *config, const unsigned char uuid[CI_UUID_BYTES], int ordinal);

/* Charges all of `bytes`, split over the shares where need be, or nothing. */
bool ci_ledger_reserve(struct ci_config *config, const struct ci_device *device, int kind, uint64_t bytes,
                       struct ci_charge *charge);
/* Charges what is on the device already, limit or not. */
void ci_ledger_force(struct ci_config *config, const struct ci_device *device, int kind, uint64_t bytes,
                     struct ci_charge *charge);

/* Whether any of the GPU's ledgers is in order: where none is, memory is closed. */
bool ci_ledger_is_usable(const struct ci_config *config, const struct ci_device *device);

/* The bytes that this process holds on the GPU. */
uint64_t ci_ledger_own(const struct ci_config *config, const struct ci_device *device);

void ci_ledger_credit(struct ci_config *config, const struct ci_charge *charge);

/* Takes back what processes that are dead had of the GPU's shares. */
void ci_ledger_sweep(struct ci_config *config, const struct ci_device *device);

/* What to show for the GPU, given what its driver shows. */
struct ci_memory ci_ledger_report(struct ci_config *config, const struct ci_device *device, struct ci_memory physical);

#endif
