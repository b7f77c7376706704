/* Sparse arrays: nothing can be read or written, but physical memory stays on the
 * device while it is mapped into one. */
#include "driver.h"
#include "fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tile {
    CUarrayMapInfo info;
    struct tile *next;
};

static struct tile *tiles;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_same_place(const CUarrayMapInfo *one, const CUarrayMapInfo *other)
{
    return one->resource.array == other->resource.array && one->subresourceType == other->subresourceType &&
           !memcmp(&one->subresource, &other->subresource, sizeof one->subresource);
}

static void end(struct tile **link)
{
    struct tile *tile = *link;
    *link = tile->next;
    fg_physical_let_go(tile->info.memHandle.memHandle);
    free(tile);
}

void fg_sparse_forget(const void *array)
{
    pthread_mutex_lock(&lock);
    for (struct tile **link = &tiles; *link;)
        if ((const void *)(*link)->info.resource.array == array)
            end(link);
        else
            link = &(*link)->next;
    pthread_mutex_unlock(&lock);
}

static void do_one(const CUarrayMapInfo *info)
{
    for (struct tile **link = &tiles; *link;)
        if (is_same_place(&(*link)->info, info))
            end(link);
        else
            link = &(*link)->next;
    struct tile *made = info->memOperationType == CU_MEM_OPERATION_TYPE_MAP ? malloc(sizeof *made) : NULL;
    if (!made)
        return;
    *made = (struct tile){*info, tiles};
    tiles = made;
    fg_physical_keep(info->memHandle.memHandle);
}

static CUresult do_all(const CUarrayMapInfo *list, unsigned int count)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count; i++)
        do_one(&list[i]);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuMemMapArrayAsync(CUarrayMapInfo *list, unsigned int count, CUstream stream)
{
    CUresult result;
    if (!fg_stream(stream, &result))
        return result;
    return list && count ? FG_FAULTY("cuMemMapArrayAsync", do_all(list, count)) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemMapArrayAsync_ptsz(CUarrayMapInfo *list, unsigned int count, CUstream stream)
{
    return cuMemMapArrayAsync(list, count, fg_per_thread(stream));
}
