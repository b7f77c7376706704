/* Arrays and mipmapped arrays, charged by what their descriptor asks for. */
#include "../include/share_env.h"
#include "backing.h"
#include "process.h"
#include "resolve.h"

#define ROW_BYTES 64                   /* rows are padded to it */
#define LEVELS_MAX 32
#define PAGE_BYTES ((uint64_t)2 << 20) /* the driver takes no less from the device */

/* Memory of these is mapped in later, through cuMemCreate. */
#define UNBACKED_FLAGS (CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING)

/* Bytes of one channel; formats of video and of compressed blocks count as the widest. */
static unsigned int channel_bytes(int format)
{
    switch (format) {
    case 0x01: case 0x08: /* 8-bit integers */
    case 0xc0: case 0xc1: case 0xc2: case 0xc6: case 0xc7: case 0xc8: /* the same, normalized, of 1, 2 and 4 channels */
    case 0x50: return 1; /* three of 10 bits, one of 2 */
    case 0x02: case 0x09: case 0x10: /* 16-bit integers, half */
    case 0xc3: case 0xc4: case 0xc5: case 0xc9: case 0xca: case 0xcb: return 2; /* normalized */
    default: return 4;
    }
}

/* Some formats name how many channels they have, whatever else is said. */
static unsigned int least_channels(int format)
{
    switch (format) {
    case 0xc1: case 0xc4: case 0xc7: case 0xca: return 2;
    case 0xc2: case 0xc5: case 0xc8: case 0xcb: case 0x50: return 4;
    default: return 1;
    }
}

static uint64_t array_bytes(uint64_t width, uint64_t height, uint64_t depth, int format, unsigned int channels)
{
    unsigned int least = least_channels(format);
    uint64_t bytes = (uint64_t)channel_bytes(format) * (channels < least ? least : channels);
    if (__builtin_mul_overflow(bytes, width == 0 ? 1 : width, &bytes) ||
        __builtin_add_overflow(bytes, ROW_BYTES - 1, &bytes))
        return UINT64_MAX;
    bytes = bytes / ROW_BYTES * ROW_BYTES;
    if (__builtin_mul_overflow(bytes, height == 0 ? 1 : height, &bytes) ||
        __builtin_mul_overflow(bytes, depth == 0 ? 1 : depth, &bytes))
        return UINT64_MAX;
    return bytes;
}

static uint64_t free_bytes(void)
{
    ci_pfn_cuMemGetInfo_v2 read = CI_CALL(cuMemGetInfo_v2);
    size_t free = 0;
    size_t total = 0;
    return read != NULL && read(&free, &total) == CUDA_SUCCESS ? free : 0;
}

static uint64_t array3d_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    if (d == NULL || (d->flags & UNBACKED_FLAGS) != 0)
        return 0; /* NULL is the driver's to refuse */
    return array_bytes(d->width, d->height, d->depth, d->format, d->channels);
}

/* How the driver lays an array out is its own affair: what it shows to be gone is
 * believed as far as the padding to pages explains it. More is somebody else's. */
static bool reconcile(struct ci_pending *pending, uint64_t free_before)
{
    uint64_t free_after = free_bytes();
    uint64_t computed = pending->entry == NULL ? 0 : pending->entry->extent;
    if (computed == 0)
        return true;
    uint64_t gone = free_after < free_before ? free_before - free_after : 0;
    bool is_padding = gone > computed && gone - computed < PAGE_BYTES;
    return ci_charge_resize(pending, is_padding ? gone : computed);
}

/* Whole pages first, since the driver may take them; where they do not fit, what is
 * computed, since it may have room left of others. */
static CUresult begin(struct ci_pending *pending, uint64_t bytes)
{
    uint64_t padded = bytes > UINT64_MAX - PAGE_BYTES ? bytes : (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    CUresult result = ci_charge_begin(pending, HAMI_TOTAL_ARRAY, padded);
    if (result != CUDA_SUCCESS)
        result = ci_charge_begin(pending, HAMI_TOTAL_ARRAY, bytes);
    if (result == CUDA_SUCCESS && pending->entry != NULL)
        pending->entry->extent = bytes;
    return result;
}

static void undo(enum ci_space space, void **handle)
{
    ci_pfn_cuArrayDestroy end_array = CI_CALL(cuArrayDestroy);
    ci_pfn_cuMipmappedArrayDestroy end_mipmap = CI_CALL(cuMipmappedArrayDestroy);
    if (space == CI_SPACE_ARRAY && end_array != NULL)
        end_array(*handle);
    if (space == CI_SPACE_MIPMAP && end_mipmap != NULL)
        end_mipmap(*handle);
    *handle = NULL;
}

static CUresult settle(struct ci_pending *pending, CUresult result, enum ci_space space, void **handle,
                       uint64_t free_before)
{
    if (result == CUDA_SUCCESS && !reconcile(pending, free_before)) {
        undo(space, handle);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result == CUDA_SUCCESS)
        ci_charge_keep(pending, space, (uintptr_t)*handle, true);
    else
        ci_charge_cancel(pending);
    return result;
}

CUresult cuArrayCreate_v2(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR *pAllocateArray)
{
    ci_pfn_cuArrayCreate_v2 real = CI_CALL(cuArrayCreate_v2);
    const CUDA_ARRAY_DESCRIPTOR *d = pAllocateArray;
    uint64_t bytes = d == NULL ? 0 : array_bytes(d->width, d->height, 1, d->format, d->channels);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&pending, bytes) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t free_before = free_bytes();
    return settle(&pending, real(pHandle, d), CI_SPACE_ARRAY, pHandle, free_before);
}

CUresult cuArrayCreate(CUarray *pHandle, const CUDA_ARRAY_DESCRIPTOR_v1 *pAllocateArray)
{
    ci_pfn_cuArrayCreate real = CI_CALL(cuArrayCreate);
    const CUDA_ARRAY_DESCRIPTOR_v1 *d = pAllocateArray;
    uint64_t bytes = d == NULL ? 0 : array_bytes(d->width, d->height, 1, d->format, d->channels);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&pending, bytes) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t free_before = free_bytes();
    return settle(&pending, real(pHandle, d), CI_SPACE_ARRAY, pHandle, free_before);
}

CUresult cuArray3DCreate_v2(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pAllocateArray)
{
    ci_pfn_cuArray3DCreate_v2 real = CI_CALL(cuArray3DCreate_v2);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&pending, array3d_bytes(pAllocateArray)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t free_before = free_bytes();
    return settle(&pending, real(pHandle, pAllocateArray), CI_SPACE_ARRAY, pHandle, free_before);
}

CUresult cuArray3DCreate(CUarray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR_v1 *pAllocateArray)
{
    ci_pfn_cuArray3DCreate real = CI_CALL(cuArray3DCreate);
    const CUDA_ARRAY3D_DESCRIPTOR_v1 *d = pAllocateArray;
    CUDA_ARRAY3D_DESCRIPTOR wide = {0};
    if (d != NULL)
        wide = (CUDA_ARRAY3D_DESCRIPTOR){d->width, d->height, d->depth, d->format, d->channels, d->flags};
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&pending, d == NULL ? 0 : array3d_bytes(&wide)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t free_before = free_bytes();
    return settle(&pending, real(pHandle, d), CI_SPACE_ARRAY, pHandle, free_before);
}

static uint64_t level_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int level)
{
    bool is_layered = (d->flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
    return array_bytes(d->width >> level, d->height >> level, is_layered ? d->depth : d->depth >> level, d->format,
                       d->channels);
}

/* As the driver does: at least the whole, at most down to one element. */
static unsigned int clamp(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels)
{
    size_t extents = d->width | d->height | d->depth;
    unsigned int most = 1;
    while (most < LEVELS_MAX && extents >> most != 0)
        most++;
    return levels < 1 ? 1 : levels < most ? levels : most;
}

static uint64_t mipmap_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels)
{
    uint64_t sum = 0;
    if (d == NULL || (d->flags & UNBACKED_FLAGS) != 0)
        return 0;
    levels = clamp(d, levels);
    for (unsigned int level = 0; level < levels; level++)
        if (__builtin_add_overflow(sum, level_bytes(d, level), &sum))
            return UINT64_MAX;
    return sum;
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *pHandle, const CUDA_ARRAY3D_DESCRIPTOR *pMipmappedArrayDesc,
                                unsigned int numMipmapLevels)
{
    ci_pfn_cuMipmappedArrayCreate real = CI_CALL(cuMipmappedArrayCreate);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&pending, mipmap_bytes(pMipmappedArrayDesc, numMipmapLevels)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t free_before = free_bytes();
    return settle(&pending, real(pHandle, pMipmappedArrayDesc, numMipmapLevels), CI_SPACE_MIPMAP, pHandle, free_before);
}

static CUresult settle_free(struct ci_allocation *entry, CUresult result)
{
    if (entry != NULL && result == CUDA_SUCCESS)
        ci_charge_drop(entry);
    else if (entry != NULL)
        ci_pointers_insert(entry);
    return result;
}

CUresult cuArrayDestroy(CUarray hArray)
{
    ci_pfn_cuArrayDestroy real = CI_CALL(cuArrayDestroy);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *entry = ci_pointers_take(CI_SPACE_ARRAY, (uintptr_t)hArray);
    CUresult result = settle_free(entry, real(hArray));
    if (result == CUDA_SUCCESS)
        ci_sparse_forget(hArray);
    return result;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray hMipmappedArray)
{
    ci_pfn_cuMipmappedArrayDestroy real = CI_CALL(cuMipmappedArrayDestroy);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *entry = ci_pointers_take(CI_SPACE_MIPMAP, (uintptr_t)hMipmappedArray);
    CUresult result = settle_free(entry, real(hMipmappedArray));
    if (result == CUDA_SUCCESS)
        ci_sparse_forget(hMipmappedArray);
    return result;
}
