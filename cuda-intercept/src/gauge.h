/* What the driver says is taken on a GPU. */
#ifndef CI_GAUGE_H
#define CI_GAUGE_H

#include "abi.h"

struct ci_gauge {
    bool has_own; /* by this process, as NVML lists it */
    bool has_all; /* on the whole GPU */
    uint64_t own_bytes;
    uint64_t all_bytes;
};

/* Loads NVML the first time. What cannot be had is not there. */
struct ci_gauge ci_gauge_read(CUdevice ordinal);

#endif
