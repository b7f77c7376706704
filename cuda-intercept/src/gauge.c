/* NVML tells what a process holds on a GPU, without a context of ours. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda_device.h"
#include "gauge.h"
#include "pid.h"
#include "resolve.h"

#define PROCESSES_MAX 1024
#define UUID_TEXT_BYTES 48

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A program that makes a context pays far more for that than for this. */
static void start_nvml(void)
{
    if (dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL) == NULL)
        return;
    ci_pfn_nvmlInit_v2 init = CI_CALL(nvmlInit_v2);
    if (init != NULL)
        init();
}

static bool find_device(CUdevice ordinal, nvmlDevice_t *device)
{
    ci_pfn_nvmlDeviceGetHandleByUUID find = CI_CALL(nvmlDeviceGetHandleByUUID);
    unsigned char u[CI_UUID_BYTES];
    char text[UUID_TEXT_BYTES];
    if (find == NULL || !ci_uuid_of_ordinal(ordinal, u))
        return false;
    static const char *const prefixes[] = {"GPU", "MIG"};
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                 prefixes[i], u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
                 u[14], u[15]);
        if (find(text, device) == NVML_SUCCESS)
            return true;
    }
    return false;
}

static bool read_own(nvmlDevice_t device, uint64_t *bytes)
{
    ci_pfn_nvmlDeviceGetComputeRunningProcesses_v3 list = CI_CALL(nvmlDeviceGetComputeRunningProcesses_v3);
    unsigned int count = PROCESSES_MAX;
    nvmlProcessInfo_t *found = list == NULL ? NULL : calloc(count, sizeof(*found));
    bool is_there = false;
    if (found == NULL || list(device, &count, found) != NVML_SUCCESS)
        count = 0;
    for (unsigned int i = 0; i < count && !is_there; i++) {
        is_there = found[i].pid == ci_pid() && found[i].used != UINT64_MAX; /* all ones: not available */
        *bytes = is_there ? found[i].used : 0;
    }
    free(found);
    return is_there;
}

static bool read_all(nvmlDevice_t device, uint64_t *bytes)
{
    ci_pfn_nvmlDeviceGetMemoryInfo read = CI_CALL(nvmlDeviceGetMemoryInfo);
    nvmlMemory_t memory;
    if (read == NULL || read(device, &memory) != NVML_SUCCESS)
        return false;
    *bytes = memory.used;
    return true;
}

struct ci_gauge ci_gauge_read(CUdevice ordinal)
{
    struct ci_gauge gauge = {0};
    nvmlDevice_t device;
    pthread_once(&once, start_nvml);
    if (!find_device(ordinal, &device))
        return gauge;
    gauge.has_own = read_own(device, &gauge.own_bytes);
    gauge.has_all = read_all(device, &gauge.all_bytes);
    return gauge;
}
