/* The machine as a driver library sees it: profile, state, visible GPUs. */
#ifndef FG_MACHINE_H
#define FG_MACHINE_H

#include "profile.h"

#include <stdbool.h>

struct fg_machine {
    struct fg_profile profile;
    unsigned gpu_count;                     /* those whose device node is here */
    const struct fg_gpu *gpus[FG_MAX_GPUS]; /* by rising minor, as in the profile */
};

/* Loads the machine once. Returns NULL where there is no driver: no profile,
 * or no state. */
const struct fg_machine *fg_machine_load(void);

/* The GPU that an instance is part of; NULL for a whole one. */
const struct fg_gpu *fg_machine_parent(const struct fg_gpu *gpu);

/* The instances of a GPU that are there and may be used from here: those whose
 * two device nodes are in /dev/nvidia-caps, at each question anew. NULL beyond
 * the last. */
const struct fg_gpu *fg_machine_instance(const struct fg_gpu *gpu, unsigned index);

/* Whether that is so for this one. */
bool fg_machine_has_instance(const struct fg_gpu *instance);

/* The number under which the shared state knows a GPU. */
unsigned fg_machine_number(const struct fg_gpu *gpu);

#endif
