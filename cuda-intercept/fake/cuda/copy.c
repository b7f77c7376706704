/* Copies and fills. Device memory is host memory and kernels change none of
 * it, so the bytes move when the call is made; only calls that the driver
 * makes synchronous wait for the device. */
#include "memory.h"
#include "waits.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096

static void *pointer(CUdeviceptr address)
{
    return (void *)(uintptr_t)address;
}

/* Waits for the stream and says whether the call may go on. */
static CUresult synchronize(CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    fg_waits("a copy or fill");
    if (stream)
        fg_stream_wait(stream);
    return result;
}

static CUresult move(void *to, const void *from, size_t bytes)
{
    if (bytes && (!to || !from))
        return CUDA_ERROR_INVALID_VALUE;
    memmove(to, from, bytes);
    return CUDA_SUCCESS;
}

static CUresult copy(void *to, const void *from, size_t bytes, CUstream handle)
{
    CUresult result = synchronize(handle);
    return result == CUDA_SUCCESS ? move(to, from, bytes) : result;
}

static CUresult copy_async(void *to, const void *from, size_t bytes, CUstream handle)
{
    CUresult result;
    return fg_stream(handle, &result) ? move(to, from, bytes) : result;
}

/* A synchronous copy and its asynchronous form, each for both default streams. */
#define COPY(name, version, to_type, to, from_type, from)                                          \
    CUresult name##version(to_type target, from_type source, size_t bytes)                         \
    {                                                                                              \
        return copy(to, from, bytes, NULL);                                                        \
    }                                                                                              \
    CUresult name##version##_ptds(to_type target, from_type source, size_t bytes)                  \
    {                                                                                              \
        return copy(to, from, bytes, CU_STREAM_PER_THREAD);                                        \
    }                                                                                              \
    CUresult name##Async##version(to_type target, from_type source, size_t bytes, CUstream stream) \
    {                                                                                              \
        return copy_async(to, from, bytes, stream);                                                \
    }                                                                                              \
    CUresult name##Async##version##_ptsz(to_type target, from_type source, size_t bytes,           \
                                         CUstream stream)                                          \
    {                                                                                              \
        return copy_async(to, from, bytes, fg_per_thread(stream));                                 \
    }

COPY(cuMemcpy, , CUdeviceptr, pointer(target), CUdeviceptr, pointer(source))
COPY(cuMemcpyHtoD, _v2, CUdeviceptr, pointer(target), const void *, source)
COPY(cuMemcpyDtoH, _v2, void *, target, CUdeviceptr, pointer(source))
COPY(cuMemcpyDtoD, _v2, CUdeviceptr, pointer(target), CUdeviceptr, pointer(source))

/* Whole pages of zeros are given back to the system, not written: a program
 * may clear gigabytes that nobody has. */
static size_t drop_pages(char *address, size_t bytes)
{
    struct fg_allocation allocation;
    if (!fg_memory_find((uintptr_t)address, &allocation) || !allocation.mapped_bytes)
        return 0;
    if ((uintptr_t)address % PAGE_BYTES)
        return 0;
    size_t pages = bytes / PAGE_BYTES * PAGE_BYTES;
    return pages && !madvise(address, pages, MADV_DONTNEED) ? pages : 0;
}

static void fill_row(char *to, uint32_t value, unsigned unit, size_t count)
{
    size_t done = value ? 0 : drop_pages(to, count * unit) / unit;
    if (unit == 1)
        memset(to + done, (int)value, count - done);
    else
        for (size_t i = done; i < count; i++)
            memcpy(to + i * unit, &value, unit);
}

struct fill {
    CUdeviceptr to;
    size_t pitch, width, height;
    uint32_t value;
    unsigned unit;
};

static CUresult fill(const struct fill *fill, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    if (!fill->to && fill->width && fill->height)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t row = 0; row < fill->height; row++)
        fill_row((char *)pointer(fill->to) + row * fill->pitch, fill->value, fill->unit,
                 fill->width);
    return CUDA_SUCCESS;
}

#define FILL(name, value_type, bytes_each)                                                         \
    static CUresult name##_on(CUdeviceptr to, value_type value, size_t count, CUstream stream)     \
    {                                                                                              \
        return fill(&(struct fill){to, 0, count, 1, value, bytes_each}, stream);                   \
    }                                                                                              \
    CUresult name##_v2(CUdeviceptr to, value_type value, size_t count)                             \
    {                                                                                              \
        return name##_on(to, value, count, NULL);                                                  \
    }                                                                                              \
    CUresult name##_v2_ptds(CUdeviceptr to, value_type value, size_t count)                        \
    {                                                                                              \
        return name##_on(to, value, count, CU_STREAM_PER_THREAD);                                  \
    }                                                                                              \
    CUresult name##Async(CUdeviceptr to, value_type value, size_t count, CUstream stream)          \
    {                                                                                              \
        return name##_on(to, value, count, stream);                                                \
    }                                                                                              \
    CUresult name##Async_ptsz(CUdeviceptr to, value_type value, size_t count, CUstream stream)     \
    {                                                                                              \
        return name##_on(to, value, count, fg_per_thread(stream));                                 \
    }

FILL(cuMemsetD8, unsigned char, 1)
FILL(cuMemsetD16, unsigned short, 2)
FILL(cuMemsetD32, unsigned int, 4)

CUresult cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                         size_t height)
{
    return fill(&(struct fill){to, pitch, width, height, value, 1}, NULL);
}

CUresult cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value, size_t width,
                           size_t height, CUstream stream)
{
    return fill(&(struct fill){to, pitch, width, height, value, 1}, stream);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, unsigned int value, size_t width,
                          size_t height)
{
    return fill(&(struct fill){to, pitch, width, height, value, 4}, NULL);
}

CUresult cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, unsigned int value, size_t width,
                            size_t height, CUstream stream)
{
    return fill(&(struct fill){to, pitch, width, height, value, 4}, stream);
}
