/* Prints what every version of NVML's lists of processes says of GPU 0, or, with "percents PID", how
 * much of it that process is said to use: shown as the share's, then as the whole GPU's. With "gpu"
 * how much of it is said to be used. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/share_env.h"
#include "../src/generated/hooks.h"

#define ROOM 64
#define TRIES 20

static void *library;

#define CALL(name) ((ci_pfn_##name)dlsym(library, #name))

static void print_first(const char *name, nvmlDevice_t device)
{
    struct ci_nvml_process_v1 entries[ROOM];
    unsigned int count = ROOM;
    ci_pfn_nvmlDeviceGetComputeRunningProcesses list =
        (ci_pfn_nvmlDeviceGetComputeRunningProcesses)dlsym(library, name);
    printf("%s %d", name, list(device, &count, entries));
    for (unsigned int i = 0; i < count; i++)
        printf(" %u:%llu", entries[i].pid, entries[i].used >> 20);
    puts("");
}

static void print_newer(const char *name, nvmlDevice_t device)
{
    struct ci_nvml_process entries[ROOM];
    unsigned int count = ROOM;
    ci_pfn_nvmlDeviceGetComputeRunningProcesses_v3 list =
        (ci_pfn_nvmlDeviceGetComputeRunningProcesses_v3)dlsym(library, name);
    printf("%s %d", name, list(device, &count, entries));
    for (unsigned int i = 0; i < count; i++)
        printf(" %u:%llu", entries[i].pid, entries[i].used >> 20);
    puts("");
}

static void print_utilization(nvmlDevice_t device)
{
    struct ci_nvml_sample samples[ROOM];
    struct ci_nvml_utilization_entry entries[ROOM];
    struct ci_nvml_utilization all = {(unsigned int)(sizeof(all) | 1 << 24), ROOM, 0, entries};
    unsigned int count = ROOM;
    int result = CALL(nvmlDeviceGetProcessUtilization)(device, samples, &count, 0);
    printf("nvmlDeviceGetProcessUtilization %d", result);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < count; i++)
        printf(" %u", samples[i].pid);
    result = CALL(nvmlDeviceGetProcessesUtilizationInfo)(device, &all);
    printf("\nnvmlDeviceGetProcessesUtilizationInfo %d", result);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < all.count; i++)
        printf(" %u", all.entries[i].pid);
    puts("");
}

static void print_details(nvmlDevice_t device)
{
    struct ci_nvml_detail entries[ROOM];
    struct ci_nvml_details all = {(unsigned int)(sizeof(all) | 1 << 24), 0, ROOM, entries};
    printf("nvmlDeviceGetRunningProcessDetailList %d", CALL(nvmlDeviceGetRunningProcessDetailList)(device, &all));
    for (unsigned int i = 0; i < all.count; i++)
        printf(" %u:%llu", entries[i].pid, entries[i].used >> 20);
    puts("");
}

/* The pids, then what is told of the process that was named. */
static void print_accounting(nvmlDevice_t device, unsigned int pid)
{
    unsigned int pids[ROOM];
    unsigned int count = ROOM;
    unsigned int none = 0;
    char first[256];
    union {
        struct ci_nvml_accounting stats;
        char room[256];
    } second = {.stats = {.pid = pid}};
    printf("nvmlDeviceGetAccountingPids %d", CALL(nvmlDeviceGetAccountingPids)(device, &count, pids));
    for (unsigned int i = 0; i < count; i++)
        printf(" %u", pids[i]);
    printf("\nroom for pids %d", CALL(nvmlDeviceGetAccountingPids)(device, &none, NULL));
    printf(" %u\n", none);
    printf("nvmlDeviceGetAccountingStats %d\n", CALL(nvmlDeviceGetAccountingStats)(device, pid, first));
    printf("nvmlDeviceGetAccountingStats_v2 %d\n", CALL(nvmlDeviceGetAccountingStats_v2)(device, &second.stats));
}

static int percent_in_samples(nvmlDevice_t device, unsigned int pid)
{
    struct ci_nvml_sample samples[ROOM];
    unsigned int count = ROOM;
    int result = CALL(nvmlDeviceGetProcessUtilization)(device, samples, &count, 0);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < count; i++)
        if (samples[i].pid == pid)
            return (int)samples[i].percents[0];
    return -1;
}

static int percent_in_entries(nvmlDevice_t device, unsigned int pid)
{
    struct ci_nvml_utilization_entry entries[ROOM];
    struct ci_nvml_utilization all = {(unsigned int)(sizeof(all) | 1 << 24), ROOM, 0, entries};
    int result = CALL(nvmlDeviceGetProcessesUtilizationInfo)(device, &all);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < all.count; i++)
        if (entries[i].pid == pid)
            return (int)entries[i].percents[0];
    return -1;
}

/* Between two looks the driver may have taken a new sample: then again. */
static void print_percents(const char *name, int (*percent)(nvmlDevice_t, unsigned int), nvmlDevice_t device,
                           unsigned int pid)
{
    int shown = 0;
    int before = 0;
    int after = -1;
    for (int i = 0; i < TRIES && before != after; i++) {
        setenv(HAMI_RAW_UTILIZATION_ENV, "1", 1);
        before = percent(device, pid);
        unsetenv(HAMI_RAW_UTILIZATION_ENV);
        shown = percent(device, pid);
        setenv(HAMI_RAW_UTILIZATION_ENV, "1", 1);
        after = percent(device, pid);
    }
    printf("%s %d %d\n", name, shown, after);
}

/* About a second's. */
static unsigned long long mean_of_newest(const struct ci_nvml_value *values, unsigned int count)
{
    unsigned int begin = count > 6 ? count - 6 : 0;
    unsigned long long sum = 0;
    for (unsigned int i = begin; i < count; i++)
        sum += values[i].value;
    return count == 0 ? 0 : sum / (count - begin);
}

/* By every function that tells it. */
static void print_gpu_percents(nvmlDevice_t device)
{
    struct ci_nvml_rates rates = {0};
    struct ci_nvml_value values[ROOM] = {{0}};
    struct ci_nvml_domains domains = {0};
    unsigned int count = ROOM;
    nvmlValueType_t kind = 0;
    int result = CALL(nvmlDeviceGetUtilizationRates)(device, &rates);
    printf("nvmlDeviceGetUtilizationRates %d %u\n", result, rates.gpu);
    result = CALL(nvmlDeviceGetSamples)(device, NVML_GPU_UTILIZATION_SAMPLES, 0, &kind, &count, values);
    printf("nvmlDeviceGetSamples %d %llu\n", result, mean_of_newest(values, result == NVML_SUCCESS ? count : 0));
    result = CALL(nvmlDeviceGetDynamicPstatesInfo)(device, &domains);
    printf("nvmlDeviceGetDynamicPstatesInfo %d %u\n", result, domains.domains[0].percent);
}

int main(int argc, char **argv)
{
    static const char uuid[] = "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01";
    nvmlDevice_t device;
    unsigned int none = 0;
    library = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (library == NULL || CALL(nvmlInit_v2)() != NVML_SUCCESS || CALL(nvmlDeviceGetHandleByUUID)(uuid, &device) != 0)
        return 1;
    if (argc == 2 && strcmp(argv[1], "gpu") == 0) {
        print_gpu_percents(device);
        return 0;
    }
    if (argc > 2) {
        unsigned int pid = (unsigned int)atoi(argv[2]);
        print_percents("nvmlDeviceGetProcessUtilization", percent_in_samples, device, pid);
        print_percents("nvmlDeviceGetProcessesUtilizationInfo", percent_in_entries, device, pid);
        return 0;
    }
    print_first("nvmlDeviceGetComputeRunningProcesses", device);
    print_newer("nvmlDeviceGetComputeRunningProcesses_v2", device);
    print_newer("nvmlDeviceGetComputeRunningProcesses_v3", device);
    print_first("nvmlDeviceGetGraphicsRunningProcesses", device);
    print_newer("nvmlDeviceGetGraphicsRunningProcesses_v2", device);
    print_newer("nvmlDeviceGetGraphicsRunningProcesses_v3", device);
    print_first("nvmlDeviceGetMPSComputeRunningProcesses", device);
    print_newer("nvmlDeviceGetMPSComputeRunningProcesses_v2", device);
    print_newer("nvmlDeviceGetMPSComputeRunningProcesses_v3", device);
    print_utilization(device);
    print_details(device);
    print_accounting(device, argc > 1 ? (unsigned int)atoi(argv[1]) : 0);
    printf("room %d", CALL(nvmlDeviceGetComputeRunningProcesses_v3)(device, &none, NULL));
    printf(" %u\n", none);
    return 0;
}
