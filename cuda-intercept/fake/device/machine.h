/* The machine as a driver library sees it: profile, state, visible GPUs. */
#ifndef FG_MACHINE_H
#define FG_MACHINE_H

#include "profile.h"

struct fg_machine {
    struct fg_profile profile;
    unsigned gpu_count;                     /* those whose device node is here */
    const struct fg_gpu *gpus[FG_MAX_GPUS]; /* by rising minor, as in the profile */
};

/* Loads the machine once. Returns NULL where there is no driver: no profile,
 * or no state. */
const struct fg_machine *fg_machine_load(void);

/* The number under which the shared state knows a GPU. */
unsigned fg_machine_number(const struct fg_gpu *gpu);

#endif
