#include "smi.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MIB (1ull << 20)
#define MAX_PROCESSES 256
#define NAME_WIDTH 32

#define LINE "+-----------------------------------------------------------------------------------------+"
#define ROW "+-----------------------------------------+------------------------+----------------------+"

static void print_head(void)
{
    char driver[80] = "N/A", now[64];
    int cuda = 0;
    time_t seconds = time(NULL);
    strftime(now, sizeof now, "%a %b %e %H:%M:%S %Y", localtime(&seconds));
    nvmlSystemGetDriverVersion(driver, sizeof driver);
    nvmlSystemGetCudaDriverVersion_v2(&cuda);
    char versions[2][32];
    snprintf(versions[0], sizeof versions[0], "%.31s", driver);
    snprintf(versions[1], sizeof versions[1], "%d.%d", cuda / 1000, cuda % 1000 / 10);
    printf("%s\n%s\n", now, LINE);
    printf("| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |\n", versions[0],
           versions[0], versions[1]);
    puts(ROW);
    puts("| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |");
    puts("| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |");
    puts("|                                         |                        |               MIG M. |");
    puts("|=========================================+========================+======================|");
}

static void print_first_line(nvmlDevice_t device, unsigned index)
{
    char name[96] = "N/A", bus[33] = "N/A";
    nvmlPciInfo_t pci;
    nvmlEnableState_t persistence = NVML_FEATURE_DISABLED;
    unsigned long long errors = 0;
    nvmlDeviceGetName(device, name, sizeof name);
    nvmlDeviceGetPersistenceMode(device, &persistence);
    if (nvmlDeviceGetPciInfo(device, &pci) == NVML_SUCCESS)
        snprintf(bus, sizeof bus, "%s", pci.busId);
    nvmlDeviceGetTotalEccErrors(device, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC,
                                &errors);
    printf("| %3u  %-25.25s %7s | %16s %3s    | %20llu |\n", index, name,
           persistence ? "On" : "Off", bus, "Off", errors);
}

static void print_second_line(nvmlDevice_t device)
{
    unsigned celsius = 0, usage = 0, limit = 0;
    nvmlUtilization_t utilization = {0};
    nvmlMemory_v2_t memory = {.version = nvmlMemory_v2};
    nvmlTemperature_t temperature = {.version = nvmlTemperature_v1,
                                     .sensorType = NVML_TEMPERATURE_GPU};
    if (nvmlDeviceGetTemperatureV(device, &temperature) == NVML_SUCCESS)
        celsius = (unsigned)temperature.temperature;
    nvmlDeviceGetPowerUsage(device, &usage);
    nvmlDeviceGetEnforcedPowerLimit(device, &limit);
    nvmlDeviceGetUtilizationRates(device, &utilization);
    nvmlDeviceGetMemoryInfo_v2(device, &memory);
    char power[32], used[48];
    snprintf(power, sizeof power, "%uW / %4uW", usage / 1000, limit / 1000);
    snprintf(used, sizeof used, "%lluMiB / %6lluMiB", memory.used / MIB, memory.total / MIB);
    printf("| %-4s %3uC    %-4s %21s | %22s | %6u%%      %7s |\n", "N/A", celsius, "P0", power, used,
           utilization.gpu, "Default");
}

static void print_third_line(nvmlDevice_t device)
{
    unsigned current = 0, pending = 0;
    nvmlReturn_t result = nvmlDeviceGetMigMode(device, &current, &pending);
    const char *mode = result != NVML_SUCCESS ? "N/A" : current ? "Enabled" : "Disabled";
    printf("| %39s | %22s | %20s |\n%s\n", "", "", mode, ROW);
}

/* Memory of each instance, as a block of its own; nothing where there is none. */
static unsigned print_instances_of(nvmlDevice_t device, unsigned index, unsigned printed)
{
    unsigned count = 0, gi, ci;
    nvmlDevice_t instance;
    nvmlDeviceGetMaxMigDeviceCount(device, &count);
    for (unsigned i = 0; i < count; i++) {
        nvmlMemory_t memory = {0};
        char used[48];
        if (nvmlDeviceGetMigDeviceHandleByIndex(device, i, &instance) != NVML_SUCCESS ||
            nvmlDeviceGetGpuInstanceId(instance, &gi) != NVML_SUCCESS ||
            nvmlDeviceGetComputeInstanceId(instance, &ci) != NVML_SUCCESS)
            continue;
        if (!printed++)
            printf("%s\n| MIG devices:%76s|\n|%-17s|%-70s |\n%s\n", LINE, "", " GPU  GI  CI  MIG", "                 Memory-Usage", LINE);
        nvmlDeviceGetMemoryInfo(instance, &memory);
        snprintf(used, sizeof used, "%lluMiB / %6lluMiB", memory.used / MIB, memory.total / MIB);
        printf("| %3u %3u %3u %3u  | %28s %-41s|\n%s\n", index, gi, ci, i, used, "", LINE);
    }
    return printed;
}

static unsigned print_processes_of(nvmlDevice_t device, unsigned index)
{
    nvmlProcessInfo_t processes[MAX_PROCESSES];
    unsigned count = MAX_PROCESSES;
    if (nvmlDeviceGetComputeRunningProcesses(device, &count, processes) != NVML_SUCCESS)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        char name[256] = "[Not Found]", used[32];
        nvmlSystemGetProcessName(processes[i].pid, name, sizeof name);
        snprintf(used, sizeof used, "%lluMiB", processes[i].usedGpuMemory / MIB);
        size_t length = strlen(name);
        bool long_name = length > NAME_WIDTH;
        printf("| %4u   %3s  %3s  %14u      %1s   %s%-*s %10s |\n", index, "N/A", "N/A",
               processes[i].pid, "C", long_name ? "..." : "",
               long_name ? NAME_WIDTH - 3 : NAME_WIDTH,
               long_name ? name + length - (NAME_WIDTH - 3) : name, used);
    }
    return count;
}

int smi_print_table(const nvmlDevice_t *devices, unsigned count)
{
    print_head();
    for (unsigned i = 0; i < count; i++) {
        unsigned index = i;
        nvmlDeviceGetIndex(devices[i], &index);
        print_first_line(devices[i], index);
        print_second_line(devices[i]);
        print_third_line(devices[i]);
    }
    unsigned instances = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = i;
        nvmlDeviceGetIndex(devices[i], &index);
        instances = print_instances_of(devices[i], index, instances);
    }
    printf("\n%s\n", LINE);
    puts("| Processes:                                                                              |");
    puts("|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |");
    puts("|        ID   ID                                                               Usage      |");
    puts("|=========================================================================================|");
    unsigned processes = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned index = i;
        nvmlDeviceGetIndex(devices[i], &index);
        processes += print_processes_of(devices[i], index);
    }
    if (!processes)
        puts("|  No running processes found                                                             |");
    puts(LINE);
    return 0;
}

/* "1g.10gb" of "NVIDIA H100 80GB HBM3 MIG 1g.10gb" */
static const char *profile_of(const char *name)
{
    const char *found = strstr(name, " MIG ");
    return found ? found + 5 : name;
}

static void list_instances(nvmlDevice_t device)
{
    unsigned count = 0;
    nvmlDevice_t instance;
    nvmlDeviceGetMaxMigDeviceCount(device, &count);
    for (unsigned i = 0; i < count; i++) {
        char name[96] = "N/A", uuid[96] = "N/A";
        if (nvmlDeviceGetMigDeviceHandleByIndex(device, i, &instance) != NVML_SUCCESS)
            continue;
        nvmlDeviceGetName(instance, name, sizeof name);
        nvmlDeviceGetUUID(instance, uuid, sizeof uuid);
        printf("  MIG %-11s Device %2u: (UUID: %s)\n", profile_of(name), i, uuid);
    }
}

int smi_print_list(const nvmlDevice_t *devices, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned index = i;
        char name[96] = "N/A", uuid[96] = "N/A";
        nvmlDeviceGetIndex(devices[i], &index);
        nvmlDeviceGetName(devices[i], name, sizeof name);
        nvmlDeviceGetUUID(devices[i], uuid, sizeof uuid);
        printf("GPU %u: %s (UUID: %s)\n", index, name, uuid);
        list_instances(devices[i]);
    }
    return 0;
}

static const char *connection(nvmlDevice_t one, nvmlDevice_t other, char text[8])
{
    nvmlGpuTopologyLevel_t level = NVML_TOPOLOGY_SYSTEM;
    nvmlPciInfo_t pci, far_end;
    unsigned links = 0, switched = 0;
    nvmlDeviceGetPciInfo(other, &pci);
    for (unsigned link = 0; link < NVML_NVLINK_MAX_LINKS; link++) {
        if (nvmlDeviceGetNvLinkRemotePciInfo(one, link, &far_end) != NVML_SUCCESS)
            continue;
        links += !strcmp(far_end.busId, pci.busId);
        switched += far_end.pciDeviceId == 0; /* an NVSwitch, which leads to every GPU */
    }
    if (links + switched) {
        snprintf(text, 8, "NV%u", links ? links : switched);
        return text;
    }
    nvmlDeviceGetTopologyCommonAncestor(one, other, &level);
    return level == NVML_TOPOLOGY_SYSTEM ? "SYS" : level == NVML_TOPOLOGY_NODE ? "NODE" : "PHB";
}

int smi_print_topology(const nvmlDevice_t *devices, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        printf("\tGPU%u", i);
    puts("\tNUMA Affinity");
    for (unsigned i = 0; i < count; i++) {
        unsigned node;
        printf("GPU%u", i);
        for (unsigned j = 0; j < count; j++) {
            char text[8];
            printf("\t%s", i == j ? "X" : connection(devices[i], devices[j], text));
        }
        if (nvmlDeviceGetNumaNodeId(devices[i], &node) == NVML_SUCCESS)
            printf("\t%u\n", node);
        else
            puts("\tN/A");
    }
    return 0;
}
