/*
 * NVML's figure for a GPU holds what other tenants do, and in a container its lists
 * of processes may be empty. What the share was charged is in its ledger.
 */
#define _GNU_SOURCE
#include "utilization.h"

#include <stdlib.h>
#include <time.h>

#include "../include/share_env.h"
#include "budget.h"
#include "nvml_device.h"
#include "resolve.h"
#include "terms.h"

#define WHOLE_PERCENT 100

unsigned int ci_utilization_whole(const struct ci_config *config, const struct ci_device *device)
{
    unsigned int sum = 0;
    if (device->access != CI_ACCESS_SHARED || getenv(HAMI_RAW_UTILIZATION_ENV) != NULL)
        return 0;
    for (int i = 0; i < device->count; i++) {
        const struct ci_limits *limits = &config->shares[device->shares[i]].limits;
        if (limits->core_percent == 0 || !ci_terms_limit(limits))
            return 0;
        sum += limits->core_percent;
    }
    return sum < WHOLE_PERCENT ? sum : WHOLE_PERCENT;
}

unsigned int ci_utilization_relative(unsigned int percent, unsigned int whole)
{
    unsigned int relative = whole == 0 ? percent : (percent * WHOLE_PERCENT + whole / 2) / whole;
    return relative < WHOLE_PERCENT ? relative : WHOLE_PERCENT;
}

static unsigned int used_percent(const struct ci_config *config, const struct ci_device *device)
{
    struct timespec now;
    unsigned int sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
    for (int i = 0; i < device->count; i++) {
        const struct ci_region *region = &config->shares[device->shares[i]].region;
        sum += ci_region_is_ready(region) ? ci_budget_used_percent(region, now_ns) : 0;
    }
    return sum;
}

/* What is shown instead of the percent of the GPU; false: that itself. */
static bool find_relative(nvmlDevice_t device, unsigned int *percent)
{
    struct ci_config *config = ci_config_get();
    if (config == NULL || config->mode != CI_MODE_FILES)
        return false; /* outside a container of ours the ledger is another process' own */
    struct ci_device found = ci_device_of_nvml(config, device);
    unsigned int whole = ci_utilization_whole(config, &found);
    *percent = whole == 0 ? 0 : ci_utilization_relative(used_percent(config, &found), whole);
    return whole > 0;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    ci_pfn_nvmlDeviceGetUtilizationRates real = CI_CALL(nvmlDeviceGetUtilizationRates);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, utilization);
    unsigned int percent;
    if (result == NVML_SUCCESS && find_relative(device, &percent))
        utilization->gpu = percent;
    return result;
}

/* The ledger tells of the last second only: that is what all samples show. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long lastSeenTimeStamp,
                                  nvmlValueType_t *sampleValType, unsigned int *sampleCount, nvmlSample_t *samples)
{
    ci_pfn_nvmlDeviceGetSamples real = CI_CALL(nvmlDeviceGetSamples);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, type, lastSeenTimeStamp, sampleValType, sampleCount, samples);
    unsigned int percent;
    if (result != NVML_SUCCESS || type != NVML_GPU_UTILIZATION_SAMPLES || samples == NULL ||
        !find_relative(device, &percent))
        return result;
    for (unsigned int i = 0; i < *sampleCount; i++)
        samples[i].value = percent;
    return result;
}

nvmlReturn_t nvmlDeviceGetDynamicPstatesInfo(nvmlDevice_t device, nvmlGpuDynamicPstatesInfo_t *pDynamicPstatesInfo)
{
    ci_pfn_nvmlDeviceGetDynamicPstatesInfo real = CI_CALL(nvmlDeviceGetDynamicPstatesInfo);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, pDynamicPstatesInfo);
    unsigned int percent;
    if (result == NVML_SUCCESS && find_relative(device, &percent))
        pDynamicPstatesInfo->domains[0].percent = percent;
    return result;
}
