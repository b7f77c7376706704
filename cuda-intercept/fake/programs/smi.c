#include "smi.h"

#include <stdio.h>
#include <string.h>

struct request {
    bool list;
    bool topology;
    const char *query;
    const char *query_processes;
    const char *format;
    const char *id;
};

static int fail(nvmlReturn_t result)
{
    if (result == NVML_ERROR_DRIVER_NOT_LOADED)
        puts("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
             "Make sure that the latest NVIDIA driver is installed and running.\n");
    else
        printf("Failed to initialize NVML: %s\n", nvmlErrorString(result));
    return 9;
}

static const char *value_of(const char *argument, const char *option)
{
    size_t length = strlen(option);
    return strncmp(argument, option, length) ? NULL : argument + length;
}

static bool parse(int count, char **arguments, struct request *request)
{
    for (int i = 1; i < count; i++) {
        const char *argument = arguments[i], *value;
        if (!strcmp(argument, "-L") || !strcmp(argument, "--list-gpus"))
            request->list = true;
        else if (!strcmp(argument, "topo") && i + 1 < count && !strcmp(arguments[i + 1], "-m"))
            request->topology = true, i++;
        else if ((value = value_of(argument, "--query-gpu=")))
            request->query = value;
        else if ((value = value_of(argument, "--query-compute-apps=")))
            request->query_processes = value;
        else if ((value = value_of(argument, "--format=")))
            request->format = value;
        else if ((value = value_of(argument, "--id=")))
            request->id = value;
        else if (!strcmp(argument, "-i") && i + 1 < count)
            request->id = arguments[++i];
        else {
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n"
                   "Unknown argument: %s\n", argument);
            return false;
        }
    }
    return true;
}

static nvmlReturn_t find_one(const char *id, nvmlDevice_t *device)
{
    unsigned index;
    char rest;
    if (sscanf(id, "%u%c", &index, &rest) == 1)
        return nvmlDeviceGetHandleByIndex(index, device);
    if (strchr(id, ':'))
        return nvmlDeviceGetHandleByPciBusId(id, device);
    return nvmlDeviceGetHandleByUUID(id, device);
}

static nvmlReturn_t find(const char *id, nvmlDevice_t *devices, unsigned *count)
{
    *count = 1;
    if (id)
        return find_one(id, devices);
    nvmlReturn_t result = nvmlDeviceGetCount(count);
    if (*count > SMI_MAX_DEVICES)
        *count = SMI_MAX_DEVICES;
    for (unsigned i = 0; result == NVML_SUCCESS && i < *count; i++)
        result = nvmlDeviceGetHandleByIndex(i, &devices[i]);
    return result;
}

static int print(const struct request *request, const nvmlDevice_t *devices, unsigned count)
{
    if (request->list)
        return smi_print_list(devices, count);
    if (request->topology)
        return smi_print_topology(devices, count);
    if (request->query)
        return smi_query(devices, count, request->query, request->format);
    if (request->query_processes)
        return smi_query_processes(devices, count, request->query_processes, request->format);
    return smi_print_table(devices, count);
}

int main(int count, char **arguments)
{
    struct request request = {0};
    if (!parse(count, arguments, &request))
        return 2;
    nvmlReturn_t result = nvmlInit();
    if (result != NVML_SUCCESS)
        return fail(result);
    nvmlDevice_t devices[SMI_MAX_DEVICES];
    unsigned found;
    int status = 6;
    if (find(request.id, devices, &found) != NVML_SUCCESS)
        printf("No devices were found\n");
    else if (!found)
        printf("No devices were found\n");
    else
        status = print(&request, devices, found);
    nvmlShutdown();
    return status;
}
