#include "smi.h"

#include <stdio.h>
#include <string.h>

#define MIB (1ull << 20)
#define MAX_FIELDS 64
#define MAX_PROCESSES 256

/* Writes one value, without its unit. */
typedef void write_value(nvmlDevice_t device, char *out, size_t size);

struct field {
    const char *name;
    const char *unit; /* NULL: none */
    write_value *write;
};

static void write_not_available(char *out, size_t size)
{
    snprintf(out, size, "[N/A]");
}

static void write_index(nvmlDevice_t device, char *out, size_t size)
{
    unsigned index;
    if (nvmlDeviceGetIndex(device, &index) == NVML_SUCCESS)
        snprintf(out, size, "%u", index);
}

static void write_count(nvmlDevice_t device, char *out, size_t size)
{
    unsigned count;
    (void)device;
    if (nvmlDeviceGetCount(&count) == NVML_SUCCESS)
        snprintf(out, size, "%u", count);
}

static void write_uuid(nvmlDevice_t device, char *out, size_t size)
{
    nvmlDeviceGetUUID(device, out, (unsigned)size);
}

static void write_name(nvmlDevice_t device, char *out, size_t size)
{
    nvmlDeviceGetName(device, out, (unsigned)size);
}

static void write_serial(nvmlDevice_t device, char *out, size_t size)
{
    nvmlDeviceGetSerial(device, out, (unsigned)size);
}

static void write_bus_id(nvmlDevice_t device, char *out, size_t size)
{
    nvmlPciInfo_t pci;
    if (nvmlDeviceGetPciInfo(device, &pci) == NVML_SUCCESS)
        snprintf(out, size, "%s", pci.busId);
}

static void write_driver(nvmlDevice_t device, char *out, size_t size)
{
    (void)device;
    nvmlSystemGetDriverVersion(out, (unsigned)size);
}

static void write_compute_capability(nvmlDevice_t device, char *out, size_t size)
{
    int major, minor;
    if (nvmlDeviceGetCudaComputeCapability(device, &major, &minor) == NVML_SUCCESS)
        snprintf(out, size, "%d.%d", major, minor);
}

enum memory_part { TOTAL, USED, FREE, RESERVED };

static void write_memory(nvmlDevice_t device, enum memory_part part, char *out, size_t size)
{
    nvmlMemory_v2_t memory = {.version = nvmlMemory_v2};
    if (nvmlDeviceGetMemoryInfo_v2(device, &memory) != NVML_SUCCESS)
        return;
    const unsigned long long parts[] = {
        [TOTAL] = memory.total, [USED] = memory.used, [FREE] = memory.free,
        [RESERVED] = memory.reserved};
    snprintf(out, size, "%llu", parts[part] / MIB);
}

static void write_total(nvmlDevice_t device, char *out, size_t size)
{
    write_memory(device, TOTAL, out, size);
}

static void write_used(nvmlDevice_t device, char *out, size_t size)
{
    write_memory(device, USED, out, size);
}

static void write_free(nvmlDevice_t device, char *out, size_t size)
{
    write_memory(device, FREE, out, size);
}

static void write_reserved(nvmlDevice_t device, char *out, size_t size)
{
    write_memory(device, RESERVED, out, size);
}

static void write_utilization(nvmlDevice_t device, char *out, size_t size)
{
    nvmlUtilization_t utilization;
    if (nvmlDeviceGetUtilizationRates(device, &utilization) == NVML_SUCCESS)
        snprintf(out, size, "%u", utilization.gpu);
}

static void write_memory_utilization(nvmlDevice_t device, char *out, size_t size)
{
    nvmlUtilization_t utilization;
    if (nvmlDeviceGetUtilizationRates(device, &utilization) == NVML_SUCCESS)
        snprintf(out, size, "%u", utilization.memory);
}

static void write_temperature(nvmlDevice_t device, char *out, size_t size)
{
    nvmlTemperature_t temperature = {.version = nvmlTemperature_v1,
                                     .sensorType = NVML_TEMPERATURE_GPU};
    if (nvmlDeviceGetTemperatureV(device, &temperature) == NVML_SUCCESS)
        snprintf(out, size, "%d", temperature.temperature);
}

static void write_power(nvmlDevice_t device, char *out, size_t size)
{
    unsigned milliwatts;
    if (nvmlDeviceGetPowerUsage(device, &milliwatts) == NVML_SUCCESS)
        snprintf(out, size, "%.2f", milliwatts / 1000.0);
}

static void write_mig_mode(nvmlDevice_t device, char *out, size_t size)
{
    unsigned current, pending;
    if (nvmlDeviceGetMigMode(device, &current, &pending) == NVML_SUCCESS)
        snprintf(out, size, current ? "Enabled" : "Disabled");
}

static const struct field device_fields[] = {
    {"index", NULL, write_index},
    {"count", NULL, write_count},
    {"uuid", NULL, write_uuid},
    {"gpu_uuid", NULL, write_uuid},
    {"name", NULL, write_name},
    {"gpu_name", NULL, write_name},
    {"serial", NULL, write_serial},
    {"pci.bus_id", NULL, write_bus_id},
    {"gpu_bus_id", NULL, write_bus_id},
    {"driver_version", NULL, write_driver},
    {"compute_cap", NULL, write_compute_capability},
    {"memory.total", "MiB", write_total},
    {"memory.used", "MiB", write_used},
    {"memory.free", "MiB", write_free},
    {"memory.reserved", "MiB", write_reserved},
    {"utilization.gpu", "%", write_utilization},
    {"utilization.memory", "%", write_memory_utilization},
    {"temperature.gpu", NULL, write_temperature},
    {"power.draw", "W", write_power},
    {"mig.mode.current", NULL, write_mig_mode},
    {0},
};

bool smi_parse_format(const char *text, struct smi_format *format)
{
    *format = (struct smi_format){.header = true, .units = true};
    if (!text || strncmp(text, "csv", 3))
        return false;
    format->header = !strstr(text, ",noheader");
    format->units = !strstr(text, ",nounits");
    return true;
}

/* The next name of a comma-separated list, blanks around it taken off. */
static bool next_name(const char **list, char *out, size_t size)
{
    *list += strspn(*list, ", ");
    size_t length = strcspn(*list, ", ");
    if (!length || length >= size)
        return false;
    memcpy(out, *list, length);
    out[length] = 0;
    *list += length;
    return true;
}

static unsigned choose(const char *list, const struct field *known, const struct field **chosen)
{
    char name[64];
    unsigned count = 0;
    while (count < MAX_FIELDS && next_name(&list, name, sizeof name)) {
        const struct field *field = known;
        while (field->name && strcmp(field->name, name))
            field++;
        if (!field->name) {
            printf("Field \"%s\" is not a valid field to query.\n\n", name);
            return 0;
        }
        chosen[count++] = field;
    }
    return count;
}

static void print_header(const struct field **fields, unsigned count, bool units)
{
    for (unsigned i = 0; i < count; i++) {
        printf("%s%s", i ? ", " : "", fields[i]->name);
        if (units && fields[i]->unit)
            printf(" [%s]", fields[i]->unit);
    }
    putchar('\n');
}

static void print_row(nvmlDevice_t device, const struct field **fields, unsigned count, bool units)
{
    for (unsigned i = 0; i < count; i++) {
        char value[128] = "";
        fields[i]->write(device, value, sizeof value);
        bool known = *value;
        if (!known)
            write_not_available(value, sizeof value);
        printf("%s%s", i ? ", " : "", value);
        if (known && units && fields[i]->unit)
            printf(" %s", fields[i]->unit);
    }
    putchar('\n');
}

static int refuse_format(void)
{
    printf("\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help.\n");
    return 2;
}

int smi_query(const nvmlDevice_t *devices, unsigned count, const char *fields, const char *format)
{
    struct smi_format csv;
    if (!smi_parse_format(format, &csv))
        return refuse_format();
    const struct field *chosen[MAX_FIELDS];
    unsigned width = choose(fields, device_fields, chosen);
    if (!width)
        return 2;
    if (csv.header)
        print_header(chosen, width, csv.units);
    for (unsigned i = 0; i < count; i++)
        print_row(devices[i], chosen, width, csv.units);
    return 0;
}

static void print_process(nvmlDevice_t device, const nvmlProcessInfo_t *process,
                          const char *fields, bool units)
{
    char name[64];
    const char *comma = "";
    while (next_name(&fields, name, sizeof name)) {
        char value[256] = "[N/A]";
        if (!strcmp(name, "pid"))
            snprintf(value, sizeof value, "%u", process->pid);
        else if (!strcmp(name, "process_name") || !strcmp(name, "name"))
            nvmlSystemGetProcessName(process->pid, value, sizeof value);
        else if (!strcmp(name, "gpu_uuid"))
            write_uuid(device, value, sizeof value);
        else if (!strcmp(name, "used_memory") || !strcmp(name, "used_gpu_memory"))
            snprintf(value, sizeof value, "%llu%s", process->usedGpuMemory / MIB,
                     units ? " MiB" : "");
        printf("%s%s", comma, value);
        comma = ", ";
    }
    putchar('\n');
}

int smi_query_processes(const nvmlDevice_t *devices, unsigned count, const char *fields,
                        const char *format)
{
    struct smi_format csv;
    if (!smi_parse_format(format, &csv))
        return refuse_format();
    if (csv.header)
        puts(fields);
    for (unsigned i = 0; i < count; i++) {
        nvmlProcessInfo_t processes[MAX_PROCESSES];
        unsigned found = MAX_PROCESSES;
        if (nvmlDeviceGetComputeRunningProcesses(devices[i], &found, processes) != NVML_SUCCESS)
            continue;
        for (unsigned j = 0; j < found; j++)
            print_process(devices[i], &processes[j], fields, csv.units);
    }
    return 0;
}
