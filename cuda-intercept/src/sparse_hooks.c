/*
 * Sparse arrays: physical memory is mapped into regions of them, and stays on the
 * device while it is. A region is known again only if it is undone as it was made;
 * else its memory stays charged until the array goes.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backing.h"
#include "process.h"
#include "resolve.h"

#define OPERATION_MAP 1

struct region {
    struct region *next;
    const void *array;
    int kind;
    unsigned char place[CI_SUBRESOURCE_BYTES];
    struct ci_allocation *backing; /* NULL: not charged here */
};

/* Guarded by the mutex, which is never held over a driver call. */
static struct region *regions;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool any; /* spares programs without sparse arrays the rest */

void ci_sparse_reset(void)
{
    pthread_mutex_init(&mutex, NULL); /* it may be held by a thread that the child does not have */
    regions = NULL;
    atomic_store(&any, false);
}

static void add(struct region *region)
{
    pthread_mutex_lock(&mutex);
    region->next = regions;
    regions = region;
    pthread_mutex_unlock(&mutex);
    atomic_store(&any, true);
}

/* Takes a region of the array out: the one at that place, or, without one, any. */
static struct region *take(const void *array, const CUarrayMapInfo *place)
{
    pthread_mutex_lock(&mutex);
    struct region **link = &regions;
    while (*link != NULL &&
           ((*link)->array != array ||
            (place != NULL && ((*link)->kind != place->subresource_type ||
                               memcmp((*link)->place, place->subresource, sizeof((*link)->place)) != 0))))
        link = &(*link)->next;
    struct region *found = *link;
    if (found != NULL)
        *link = found->next;
    pthread_mutex_unlock(&mutex);
    return found;
}

static void drop(struct region *region)
{
    if (region == NULL)
        return;
    ci_backing_let_go(region->backing);
    free(region);
}

void ci_sparse_forget(const void *array)
{
    if (!atomic_load(&any))
        return;
    for (struct region *region = take(array, NULL); region != NULL; region = take(array, NULL))
        drop(region);
}

/* Whatever fails afterwards, the driver has not been asked yet. */
static struct region *prepare(const CUarrayMapInfo *info)
{
    struct region *region = calloc(1, sizeof(*region));
    if (region == NULL)
        return NULL;
    region->array = info->array;
    region->kind = info->subresource_type;
    memcpy(region->place, info->subresource, sizeof(region->place));
    region->backing = ci_backing_keep(info->handle);
    return region;
}

/* What the driver did: a region that is mapped anew lets go of what it had. */
static void settle(const CUarrayMapInfo *info, struct region *prepared)
{
    drop(take(info->array, info));
    if (prepared != NULL)
        add(prepared);
}

static CUresult map_all(ci_pfn_cuMemMapArrayAsync real, CUarrayMapInfo *list, unsigned int count, CUstream stream)
{
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    struct region **prepared = calloc(count == 0 ? 1 : count, sizeof(struct region *));
    bool complete = prepared != NULL;
    for (unsigned int i = 0; complete && i < count; i++) {
        prepared[i] = list[i].operation == OPERATION_MAP ? prepare(&list[i]) : NULL;
        complete = list[i].operation != OPERATION_MAP || prepared[i] != NULL;
    }
    if (complete)
        result = real(list, count, stream);
    for (unsigned int i = 0; prepared != NULL && i < count; i++)
        if (result == CUDA_SUCCESS)
            settle(&list[i], prepared[i]);
        else
            drop(prepared[i]);
    free(prepared);
    return result;
}

static CUresult map_arrays(ci_pfn_cuMemMapArrayAsync real, CUarrayMapInfo *list, unsigned int count, CUstream stream)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    return list == NULL ? real(list, count, stream) : map_all(real, list, count, stream);
}

CUresult cuMemMapArrayAsync(CUarrayMapInfo *mapInfoList, unsigned int count, CUstream hStream)
{
    return map_arrays(CI_CALL(cuMemMapArrayAsync), mapInfoList, count, hStream);
}

CUresult cuMemMapArrayAsync_ptsz(CUarrayMapInfo *mapInfoList, unsigned int count, CUstream hStream)
{
    return map_arrays(CI_CALL(cuMemMapArrayAsync_ptsz), mapInfoList, count, hStream);
}
