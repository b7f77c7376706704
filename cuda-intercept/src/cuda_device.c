#include "cuda_device.h"

#include <stdatomic.h>
#include <string.h>

#include "resolve.h"

#define CACHED_ORDINALS 64
#define LAST_SPECIAL_STREAM 2 /* CU_STREAM_LEGACY and CU_STREAM_PER_THREAD */

/* A device's UUID never changes: racing writers write the same words. */
static struct {
    _Atomic uint64_t words[2];
    _Atomic bool known;
} uuids[CACHED_ORDINALS];

union uuid {
    uint64_t words[2];
    unsigned char bytes[CI_UUID_BYTES];
    CUuuid driver;
};

static bool ask_uuid(CUdevice ordinal, union uuid *uuid)
{
    /* the second version names the MIG instance where there is one */
    ci_pfn_cuDeviceGetUuid_v2 newer = CI_CALL(cuDeviceGetUuid_v2);
    if (newer != NULL)
        return newer(&uuid->driver, ordinal) == CUDA_SUCCESS;
    ci_pfn_cuDeviceGetUuid older = CI_CALL(cuDeviceGetUuid);
    return older != NULL && older(&uuid->driver, ordinal) == CUDA_SUCCESS;
}

static bool find_uuid(CUdevice ordinal, union uuid *uuid)
{
    if (ordinal < 0 || ordinal >= CACHED_ORDINALS)
        return ask_uuid(ordinal, uuid);
    if (!atomic_load_explicit(&uuids[ordinal].known, memory_order_acquire)) {
        if (!ask_uuid(ordinal, uuid))
            return false;
        for (int i = 0; i < 2; i++)
            atomic_store(&uuids[ordinal].words[i], uuid->words[i]);
        atomic_store_explicit(&uuids[ordinal].known, true, memory_order_release);
    }
    for (int i = 0; i < 2; i++)
        uuid->words[i] = atomic_load(&uuids[ordinal].words[i]);
    return true;
}

bool ci_uuid_of_ordinal(CUdevice ordinal, unsigned char uuid[CI_UUID_BYTES])
{
    union uuid found;
    if (!find_uuid(ordinal, &found))
        return false;
    memcpy(uuid, found.bytes, CI_UUID_BYTES);
    return true;
}

struct ci_device ci_device_of_ordinal(const struct ci_config *config, CUdevice ordinal)
{
    union uuid uuid;
    if (config == NULL || !find_uuid(ordinal, &uuid))
        return (struct ci_device){.access = CI_ACCESS_UNKNOWN};
    return ci_device_find(config, uuid.bytes, ordinal);
}

CUcontext ci_current_context(void)
{
    ci_pfn_cuCtxGetCurrent current = CI_CALL(cuCtxGetCurrent);
    CUcontext context = NULL;
    return current != NULL && current(&context) == CUDA_SUCCESS ? context : NULL;
}

CUdevice ci_current_ordinal(void)
{
    ci_pfn_cuCtxGetDevice get = CI_CALL(cuCtxGetDevice);
    CUdevice ordinal;
    return get != NULL && get(&ordinal) == CUDA_SUCCESS ? ordinal : -1;
}

CUdevice ci_ordinal_of_context(CUcontext context)
{
    ci_pfn_cuCtxPushCurrent_v2 push = CI_CALL(cuCtxPushCurrent_v2);
    ci_pfn_cuCtxPopCurrent_v2 pop = CI_CALL(cuCtxPopCurrent_v2);
    if (context == ci_current_context())
        return ci_current_ordinal();
    if (push == NULL || pop == NULL || push(context) != CUDA_SUCCESS)
        return -1;
    CUdevice ordinal = ci_current_ordinal();
    pop(&context);
    return ordinal;
}

struct ci_device ci_device_of_context(const struct ci_config *config)
{
    CUdevice ordinal = config == NULL ? -1 : ci_current_ordinal();
    return ordinal < 0 ? (struct ci_device){.access = CI_ACCESS_UNKNOWN} : ci_device_of_ordinal(config, ordinal);
}

CUcontext ci_context_of_stream(CUstream stream)
{
    ci_pfn_cuStreamGetCtx context_of = CI_CALL(cuStreamGetCtx);
    CUcontext context = NULL;
    bool is_special = (uintptr_t)stream <= LAST_SPECIAL_STREAM;
    if (is_special || context_of == NULL || context_of(stream, &context) != CUDA_SUCCESS)
        return ci_current_context();
    return context;
}

struct ci_device ci_device_of_stream(const struct ci_config *config, CUstream stream)
{
    CUcontext context = ci_context_of_stream(stream);
    CUdevice ordinal = config == NULL ? -1 : ci_ordinal_of_context(context);
    return ordinal < 0 ? ci_device_of_context(config) : ci_device_of_ordinal(config, ordinal);
}

/* A managed pool's memory goes wherever it is used, whatever it prefers. */
static bool is_managed(ci_pfn_cuMemPoolGetAttribute ask, CUmemoryPool pool)
{
    int type = 0;
    return ask(pool, CU_MEMPOOL_ATTR_ALLOCATION_TYPE, &type) == CUDA_SUCCESS && type == CU_MEM_ALLOCATION_TYPE_MANAGED;
}

struct ci_device ci_device_of_pool(const struct ci_config *config, CUmemoryPool pool, CUstream stream)
{
    ci_pfn_cuDeviceGetDefaultMemPool default_of = CI_CALL(cuDeviceGetDefaultMemPool);
    ci_pfn_cuDeviceGetCount count_of = CI_CALL(cuDeviceGetCount);
    ci_pfn_cuMemPoolGetAttribute ask = CI_CALL(cuMemPoolGetAttribute);
    CUmemoryPool found;
    int count = 0;
    int type = 0;
    int id = 0;
    if (count_of == NULL || count_of(&count) != CUDA_SUCCESS)
        count = 0;
    for (int i = 0; default_of != NULL && i < count && i < CACHED_ORDINALS; i++)
        if (default_of(&found, i) == CUDA_SUCCESS && found == pool)
            return ci_device_of_ordinal(config, i);
    /* drivers that have pools elsewhere also say where they are */
    if (ask == NULL || ask(pool, CU_MEMPOOL_ATTR_LOCATION_TYPE, &type) != CUDA_SUCCESS)
        return ci_device_of_stream(config, stream);
    if (type == CU_MEM_LOCATION_TYPE_DEVICE && ask(pool, CU_MEMPOOL_ATTR_LOCATION_ID, &id) == CUDA_SUCCESS)
        return ci_device_of_ordinal(config, id);
    if (type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN || is_managed(ask, pool))
        return ci_device_of_stream(config, stream);
    return (struct ci_device){.access = CI_ACCESS_FREE};
}
