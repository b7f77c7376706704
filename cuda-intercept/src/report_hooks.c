/* What the program is told about memory: the share in place of the GPU. */
#include <limits.h>

#include "cuda_device.h"
#include "process.h"
#include "resolve.h"

static unsigned int narrow(uint64_t bytes)
{
    return bytes > UINT_MAX ? UINT_MAX : (unsigned int)bytes;
}

static struct ci_memory report(struct ci_memory physical)
{
    struct ci_config *config = ci_process_join();
    if (config == NULL)
        return physical;
    struct ci_device device = ci_device_of_context(config);
    return ci_ledger_report(config, &device, physical);
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    ci_pfn_cuMemGetInfo_v2 real = CI_CALL(cuMemGetInfo_v2);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(free, total);
    if (result != CUDA_SUCCESS || free == NULL || total == NULL)
        return result;
    struct ci_memory shown = report((struct ci_memory){*total, *total - *free, *free});
    *free = shown.free;
    *total = shown.total;
    return result;
}

CUresult cuMemGetInfo(unsigned int *free, unsigned int *total)
{
    ci_pfn_cuMemGetInfo real = CI_CALL(cuMemGetInfo);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(free, total);
    if (result != CUDA_SUCCESS || free == NULL || total == NULL)
        return result;
    struct ci_memory shown = report((struct ci_memory){*total, *total - *free, *free});
    *free = narrow(shown.free);
    *total = narrow(shown.total);
    return result;
}

static uint64_t shown_total(uint64_t physical, CUdevice ordinal)
{
    struct ci_config *config = ci_config_get();
    if (config == NULL)
        return physical;
    struct ci_device device = ci_device_of_ordinal(config, ordinal);
    return ci_ledger_report(config, &device, (struct ci_memory){physical, 0, physical}).total;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    ci_pfn_cuDeviceTotalMem_v2 real = CI_CALL(cuDeviceTotalMem_v2);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(bytes, dev);
    if (result == CUDA_SUCCESS && bytes != NULL)
        *bytes = shown_total(*bytes, dev);
    return result;
}

CUresult cuDeviceTotalMem(unsigned int *bytes, CUdevice dev)
{
    ci_pfn_cuDeviceTotalMem real = CI_CALL(cuDeviceTotalMem);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(bytes, dev);
    if (result == CUDA_SUCCESS && bytes != NULL)
        *bytes = narrow(shown_total(*bytes, dev));
    return result;
}
