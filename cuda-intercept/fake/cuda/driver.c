#include "driver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { UNTRIED, READY, LOST_BY_FORK };

/* Written by cuInit under the lock and by the child of a fork. */
static _Atomic int phase = UNTRIED;
static const struct fg_machine *machine;
static unsigned device_count;
static const struct fg_gpu *devices[FG_MAX_GPUS];
static pthread_mutex_t initializing = PTHREAD_MUTEX_INITIALIZER;

static void after_fork_in_child(void)
{
    if (phase == READY)
        phase = LOST_BY_FORK;
    fg_state_forget();
}

CUresult fg_ready(void)
{
    return phase == READY ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

const struct fg_machine *fg_machine(void)
{
    return machine;
}

unsigned fg_device_count(void)
{
    return device_count;
}

const struct fg_gpu *fg_device(CUdevice ordinal)
{
    return ordinal >= 0 && (unsigned)ordinal < device_count ? devices[ordinal] : NULL;
}

uint64_t fg_capacity_bytes(const struct fg_gpu *gpu)
{
    return gpu->memory_bytes - gpu->reserved_bytes;
}

/* The GPU that one word of CUDA_VISIBLE_DEVICES names: an index, or the
 * beginning of a UUID. */
static const struct fg_gpu *find_device(const char *word, size_t length)
{
    char *end;
    long index = strtol(word, &end, 10);
    if (length && end == word + length)
        return index >= 0 && index < (long)machine->gpu_count ? machine->gpus[index] : NULL;
    for (unsigned i = 0; i < machine->gpu_count; i++)
        if (length > 4 && !strncmp(machine->gpus[i]->uuid, word, length))
            return machine->gpus[i];
    return NULL;
}

/* The first word that names no GPU ends the list, as with the real driver. */
static void choose_devices(const char *visible)
{
    device_count = 0;
    if (!visible) {
        for (; device_count < machine->gpu_count; device_count++)
            devices[device_count] = machine->gpus[device_count];
        return;
    }
    while (device_count < FG_MAX_GPUS) {
        size_t length = strcspn(visible, ",");
        const struct fg_gpu *gpu = find_device(visible, length);
        if (!gpu)
            return;
        devices[device_count++] = gpu;
        if (!visible[length])
            return;
        visible += length + 1;
    }
}

static CUresult initialize(void)
{
    machine = fg_machine_load();
    if (!machine)
        return CUDA_ERROR_NO_DEVICE;
    choose_devices(getenv("CUDA_VISIBLE_DEVICES"));
    if (!device_count)
        return CUDA_ERROR_NO_DEVICE;
    if (fg_state_join())
        return CUDA_ERROR_OPERATING_SYSTEM;
    pthread_atfork(NULL, NULL, after_fork_in_child);
    phase = READY;
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags)
{
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (phase == LOST_BY_FORK)
        return CUDA_ERROR_NOT_INITIALIZED;
    pthread_mutex_lock(&initializing);
    CUresult result = phase == READY ? CUDA_SUCCESS : initialize();
    pthread_mutex_unlock(&initializing);
    return result;
}

CUresult cuDriverGetVersion(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    const struct fg_machine *loaded = fg_machine_load();
    *version = loaded ? (int)loaded->profile.cuda_version : 0;
    return CUDA_SUCCESS;
}
