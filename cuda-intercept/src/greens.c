#include "greens.h"

#include <stdatomic.h>
#include <stddef.h>

#include "cuda_device.h"

#define GREENS_MAX 256 /* those beyond are taken for contexts of their own */

/* A place is free where `context` is NULL, and claimed by who changes that. */
static struct {
    _Atomic(CUcontext) context;
    _Atomic(CUcontext) primary;
} greens[GREENS_MAX];

/* How many places from the first one may be in use: spares programs without green contexts the search. */
static _Atomic int in_use;

void ci_green_add(CUcontext context, CUcontext primary)
{
    for (int i = 0; context != NULL && i < GREENS_MAX; i++) {
        CUcontext nobody = NULL;
        if (!atomic_compare_exchange_strong(&greens[i].context, &nobody, context))
            continue;
        atomic_store(&greens[i].primary, primary);
        int seen = atomic_load(&in_use);
        while (seen <= i && !atomic_compare_exchange_weak(&in_use, &seen, i + 1))
            continue;
        return;
    }
}

void ci_green_remove(CUcontext context)
{
    for (int i = 0; context != NULL && i < atomic_load(&in_use); i++) {
        CUcontext seen = context;
        if (atomic_compare_exchange_strong(&greens[i].context, &seen, NULL))
            return;
    }
}

CUcontext ci_owning_context(void)
{
    CUcontext context = ci_current_context();
    int count = context == NULL ? 0 : atomic_load_explicit(&in_use, memory_order_acquire);
    for (int i = 0; i < count; i++)
        if (atomic_load(&greens[i].context) == context)
            return atomic_load(&greens[i].primary);
    return context;
}
