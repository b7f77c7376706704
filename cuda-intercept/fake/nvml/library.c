#include "faults.h"
#include "library.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Guarded by the lock. */
static unsigned users;
static const struct fg_machine *machine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const struct fg_machine *fg_nvml_machine(void)
{
    pthread_mutex_lock(&lock);
    const struct fg_machine *current = users ? machine : NULL;
    pthread_mutex_unlock(&lock);
    return current && !fg_fault_unloaded() ? current : NULL;
}

static bool is_here(const struct fg_machine *current, const struct fg_gpu *gpu)
{
    if (fg_machine_parent(gpu))
        return fg_machine_has_instance(gpu);
    for (unsigned i = 0; i < current->gpu_count; i++)
        if (current->gpus[i] == gpu)
            return true;
    return false;
}

/* What a GPU that is lost or fails answers to every question. */
static nvmlReturn_t failure_of(unsigned minor)
{
    unsigned long error = NVML_SUCCESS;
    if (fg_fault_of(FG_FAULT_LOST, minor, &error))
        return NVML_ERROR_GPU_IS_LOST;
    fg_fault_of(FG_FAULT_FAILS, minor, &error);
    return (nvmlReturn_t)error;
}

const struct fg_gpu *fg_nvml_gpu(nvmlDevice_t handle, nvmlReturn_t *result)
{
    const struct fg_machine *current = fg_nvml_machine();
    *result = current ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_UNINITIALIZED;
    for (unsigned i = 0; current && i < current->profile.gpu_count; i++) {
        const struct fg_gpu *gpu = &current->profile.gpus[i];
        if ((const void *)gpu == (const void *)handle && is_here(current, gpu)) {
            *result = failure_of(gpu->minor);
            return *result == NVML_SUCCESS ? gpu : NULL;
        }
    }
    return NULL;
}

const struct fg_gpu *fg_nvml_whole(nvmlDevice_t handle, nvmlReturn_t *result)
{
    const struct fg_gpu *gpu = fg_nvml_gpu(handle, result);
    if (!gpu || !fg_machine_parent(gpu))
        return gpu;
    *result = NVML_ERROR_NOT_SUPPORTED;
    return NULL;
}

nvmlReturn_t fg_nvml_text(const char *text, char *out, unsigned length)
{
    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    (void)flags; /* both flags only say what is no error */
    const struct fg_machine *found = fg_machine_load();
    if (!found || fg_fault_unloaded())
        return NVML_ERROR_DRIVER_NOT_LOADED;
    pthread_mutex_lock(&lock);
    machine = found;
    users++;
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlShutdown(void)
{
    pthread_mutex_lock(&lock);
    nvmlReturn_t result = users ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
    users -= users > 0;
    pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    const struct fg_machine *current = fg_nvml_machine();
    return current ? fg_nvml_text(current->profile.driver_version, version, length)
                   : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    const struct fg_machine *current = fg_nvml_machine();
    return current ? fg_nvml_text(current->profile.nvml_version, version, length)
                   : NVML_ERROR_UNINITIALIZED;
}

/* Works without nvmlInit, as the real one. */
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    const struct fg_machine *found = fg_machine_load();
    if (!version)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!found)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    *version = (int)found->profile.cuda_version;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    char path[64], line[4096];
    if (!name || !length)
        return NVML_ERROR_INVALID_ARGUMENT;
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NVML_ERROR_NOT_FOUND;
    size_t read = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[read] = 0;
    snprintf(name, length, "%s", line);
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result)
{
    static const char *const texts[] = {
        [NVML_SUCCESS] = "Success",
        [NVML_ERROR_UNINITIALIZED] = "Uninitialized",
        [NVML_ERROR_INVALID_ARGUMENT] = "Invalid Argument",
        [NVML_ERROR_NOT_SUPPORTED] = "Not Supported",
        [NVML_ERROR_NO_PERMISSION] = "Insufficient Permissions",
        [NVML_ERROR_ALREADY_INITIALIZED] = "Already Initialized",
        [NVML_ERROR_NOT_FOUND] = "Not Found",
        [NVML_ERROR_INSUFFICIENT_SIZE] = "Insufficient Size",
        [NVML_ERROR_DRIVER_NOT_LOADED] = "Driver Not Loaded",
        [NVML_ERROR_TIMEOUT] = "Timeout",
        [NVML_ERROR_LIBRARY_NOT_FOUND] = "NVML Shared Library Not Found",
        [NVML_ERROR_FUNCTION_NOT_FOUND] = "Function Not Found",
        [NVML_ERROR_GPU_IS_LOST] = "GPU is lost",
    };
    unsigned index = (unsigned)result;
    const char *text = index < sizeof texts / sizeof *texts ? texts[index] : NULL;
    return text ? text : "Unknown Error";
}
