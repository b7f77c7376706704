/* Arrays and mipmapped arrays: opaque memory, of a computed size. Rows take
 * whole 64 bytes, and the whole takes whole granules. */
#include "driver.h"
#include "fault.h"

#include <pthread.h>
#include <stdlib.h>

#define ROW_BYTES 64
#define WITHOUT_MEMORY (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)

/* CUarray and CUmipmappedArray name the same kind of object. */
struct CUarray_st {
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    unsigned levels;
    CUcontext context;
    uint64_t charged_bytes;
    struct CUarray_st *next;
};

static struct CUarray_st *arrays;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t channel_bytes(CUarray_format format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
    case CU_AD_FORMAT_UNORM_INT8X1:
    case CU_AD_FORMAT_UNORM_INT8X2:
    case CU_AD_FORMAT_UNORM_INT8X4:
    case CU_AD_FORMAT_SNORM_INT8X1:
    case CU_AD_FORMAT_SNORM_INT8X2:
    case CU_AD_FORMAT_SNORM_INT8X4:
    case CU_AD_FORMAT_UNORM_INT_101010_2:
        return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
    case CU_AD_FORMAT_UNORM_INT16X1:
    case CU_AD_FORMAT_UNORM_INT16X2:
    case CU_AD_FORMAT_UNORM_INT16X4:
    case CU_AD_FORMAT_SNORM_INT16X1:
    case CU_AD_FORMAT_SNORM_INT16X2:
    case CU_AD_FORMAT_SNORM_INT16X4:
        return 2;
    default:
        return 4;
    }
}

static uint64_t at_least_one(uint64_t extent)
{
    return extent ? extent : 1;
}

static uint64_t level_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned level)
{
    bool layered = d->Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP);
    uint64_t row = at_least_one(d->Width >> level) * channel_bytes(d->Format) * d->NumChannels;
    uint64_t depth = layered ? d->Depth : d->Depth >> level;
    return fg_round_up(row, ROW_BYTES) * at_least_one(d->Height >> level) * at_least_one(depth);
}

/* As the driver's documentation says: at least the whole, at most down to one element. */
static unsigned clamp(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned levels)
{
    size_t extents = d->Width | d->Height | d->Depth;
    unsigned most = 1;
    while (extents >> most)
        most++;
    return levels < 1 ? 1 : levels > most ? most : levels;
}

static CUresult create(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned levels, struct CUarray_st **out)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!out || !d || !d->Width || !d->NumChannels || d->NumChannels > 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (d->Width >= 1u << 20 || d->Height >= 1u << 20 || d->Depth >= 1u << 20)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t bytes = 0;
    levels = clamp(d, levels);
    for (unsigned level = 0; level < levels && !(d->Flags & WITHOUT_MEMORY); level++)
        bytes += level_bytes(d, level);
    struct CUarray_st *made = calloc(1, sizeof *made);
    bytes = fg_round_up(bytes, FG_GRANULARITY);
    if (!made || !fg_occupy(context->gpu, bytes)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_lock(&lock);
    *made = (struct CUarray_st){*d, levels, context, bytes, arrays};
    arrays = made;
    pthread_mutex_unlock(&lock);
    *out = made;
    return CUDA_SUCCESS;
}

static CUresult destroy(struct CUarray_st *array)
{
    pthread_mutex_lock(&lock);
    struct CUarray_st **link = &arrays;
    while (*link && *link != array)
        link = &(*link)->next;
    bool found = array && *link;
    if (found)
        *link = array->next;
    pthread_mutex_unlock(&lock);
    if (!found)
        return CUDA_ERROR_INVALID_HANDLE;
    fg_sparse_forget(array);
    fg_vacate(array->context->gpu, array->charged_bytes);
    free(array);
    return CUDA_SUCCESS;
}

/* Handles of a context that is gone are never given out again. */
void fg_arrays_release(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (struct CUarray_st **link = &arrays, *one = *link; one; one = *link) {
        if (one->context != context) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        fg_sparse_forget(one);
        fg_vacate(context->gpu, one->charged_bytes);
        free(one);
    }
    pthread_mutex_unlock(&lock);
}

CUresult cuArrayCreate_v2(CUarray *out, const CUDA_ARRAY_DESCRIPTOR *d)
{
    if (!d)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR full = {d->Width, d->Height, 0, d->Format, d->NumChannels, 0};
    return FG_FAULTY("cuArrayCreate", create(&full, 1, out));
}

CUresult cuArray3DCreate_v2(CUarray *out, const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    return FG_FAULTY("cuArrayCreate", create(d, 1, out));
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *out, const CUDA_ARRAY3D_DESCRIPTOR *d,
                                unsigned int levels)
{
    return FG_FAULTY("cuMipmappedArrayCreate", create(d, levels, (struct CUarray_st **)out));
}

CUresult cuArrayDestroy(CUarray array)
{
    return FG_FAULTY("cuArrayDestroy", destroy(array));
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    return FG_FAULTY("cuMipmappedArrayDestroy", destroy((struct CUarray_st *)array));
}

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *out, CUarray array)
{
    if (!out || !array)
        return CUDA_ERROR_INVALID_VALUE;
    *out = array->descriptor;
    return CUDA_SUCCESS;
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *out, CUarray array)
{
    if (!out || !array)
        return CUDA_ERROR_INVALID_VALUE;
    const CUDA_ARRAY3D_DESCRIPTOR *d = &array->descriptor;
    *out = (CUDA_ARRAY_DESCRIPTOR){d->Width, d->Height, d->Format, d->NumChannels};
    return CUDA_SUCCESS;
}
