/*
 * No driver says in which steps its pools grow. What was seen tells: a growth is
 * a multiple of the step, so the step divides all of them. Requests smaller than
 * the largest step are told apart from larger ones, which drivers may round less.
 */
#include "chunks.h"

#include <stdatomic.h>

#define LARGEST_STEP ((uint64_t)32 << 20)
#define SMALLEST_STEP ((uint64_t)2 << 20)

enum { SMALL, LARGE, CLASSES };

/* 0: nothing seen yet. Racing writers lose an observation, which comes again. */
static _Atomic uint64_t steps[CLASSES];

static int class_of(uint64_t bytes)
{
    return bytes < LARGEST_STEP ? SMALL : LARGE;
}

/* A driver that takes small steps for little takes none larger for more. */
static uint64_t step_of(int class)
{
    uint64_t small = atomic_load(&steps[SMALL]);
    uint64_t own = atomic_load(&steps[class]);
    if (class == LARGE && small > 0 && small < LARGEST_STEP)
        own = own == 0 || small < own ? small : own;
    return own;
}

bool ci_chunk_is_known(uint64_t bytes)
{
    return step_of(class_of(bytes)) > 0;
}

uint64_t ci_chunk_round(uint64_t bytes)
{
    uint64_t step = step_of(class_of(bytes));
    step = step == 0 ? LARGEST_STEP : step;
    return bytes > UINT64_MAX - step ? bytes : (bytes + step - 1) / step * step;
}

void ci_chunk_learn(uint64_t bytes, uint64_t growth)
{
    _Atomic uint64_t *step = &steps[class_of(bytes)];
    uint64_t known = atomic_load(step);
    uint64_t seen = growth & (~growth + 1); /* the largest power of two in it */
    seen = seen > LARGEST_STEP ? LARGEST_STEP : seen;
    seen = seen < SMALLEST_STEP ? SMALLEST_STEP : seen;
    if (growth > 0 && (known == 0 || seen < known))
        atomic_store(step, seen);
}
