#include "code.h"

#include <stdlib.h>

#include "../include/share_env.h"
#include "cuda_device.h"
#include "greens.h"

/* Which entry of the table pays. */
struct owner {
    enum ci_space space;
    uintptr_t key;
    void *context;
};

void ci_code_begin(struct ci_code *code, const struct ci_device *device, uint64_t estimate_bytes)
{
    /* What is there already takes nothing: the estimate alone refuses nothing. */
    code->is_open =
        ci_implicit_begin(&code->implicit, HAMI_TOTAL_MODULE, device, estimate_bytes) == CUDA_SUCCESS ||
        ci_implicit_begin(&code->implicit, HAMI_TOTAL_MODULE, device, 0) == CUDA_SUCCESS;
}

static struct owner owner_of(enum ci_space space, const void *handle)
{
    struct ci_allocation *part =
        space == CI_SPACE_MODULE ? ci_pointers_find(CI_SPACE_LIBRARY_MODULE, (uintptr_t)handle) : NULL;
    if (part != NULL)
        return (struct owner){CI_SPACE_LIBRARY, part->owner, part->context};
    return (struct owner){space, (uintptr_t)handle, ci_owning_context()};
}

static struct ci_allocation *find_entry(const struct owner *owner)
{
    if (owner->space == CI_SPACE_MODULE) /* it lies in one context, which need not be the current one */
        return ci_pointers_find(owner->space, owner->key);
    return ci_pointers_find_in(owner->space, owner->key, owner->context);
}

uint64_t ci_code_end(struct ci_code *code, enum ci_space space, const void *handle)
{
    if (!code->is_open)
        return 0;
    uint64_t bytes = ci_implicit_force(&code->implicit);
    struct owner owner = owner_of(space, handle);
    struct ci_allocation *entry = find_entry(&owner);
    if (bytes == 0)
        ci_implicit_cancel(&code->implicit);
    else if (entry != NULL)
        ci_implicit_add(&code->implicit, entry);
    else
        ci_implicit_keep(&code->implicit, owner.space, (const void *)owner.key, owner.context);
    return bytes;
}

void ci_code_belongs(CUmodule module, CUlibrary library)
{
    struct ci_allocation *part = calloc(1, sizeof(*part));
    ci_code_stands_alone(module);
    if (part == NULL)
        return;
    part->space = CI_SPACE_LIBRARY_MODULE;
    part->key = (uintptr_t)module;
    part->owner = (uintptr_t)library;
    part->context = ci_owning_context();
    ci_pointers_insert(part);
}

void ci_code_stands_alone(CUmodule module)
{
    free(ci_pointers_take(CI_SPACE_LIBRARY_MODULE, (uintptr_t)module));
}
