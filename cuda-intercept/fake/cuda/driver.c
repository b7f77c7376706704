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

/* What CUDA counts: where MIG instances are, the first of them and nothing else. */
static unsigned list_devices(const struct fg_gpu *out[FG_MAX_GPUS])
{
    unsigned found = 0;
    for (unsigned i = 0; i < machine->gpu_count; i++)
        if ((out[0] = fg_machine_instance(machine->gpus[i], 0)))
            return 1;
    for (unsigned i = 0; i < machine->gpu_count; i++)
        if (!machine->gpus[i]->mig_mode)
            out[found++] = machine->gpus[i];
    return found;
}

static bool can_be_used(const struct fg_gpu *gpu)
{
    if (fg_machine_parent(gpu))
        return fg_machine_has_instance(gpu);
    for (unsigned i = 0; i < machine->gpu_count; i++)
        if (machine->gpus[i] == gpu)
            return !gpu->mig_mode;
    return false;
}

/* The device that one word of CUDA_VISIBLE_DEVICES names: an index, or the
 * beginning of a UUID. */
static const struct fg_gpu *find_device(const char *word, size_t length)
{
    const struct fg_gpu *counted[FG_MAX_GPUS];
    char *end;
    long index = strtol(word, &end, 10);
    if (length && end == word + length)
        return index >= 0 && index < (long)list_devices(counted) ? counted[index] : NULL;
    for (unsigned i = 0; i < machine->profile.gpu_count; i++) {
        const struct fg_gpu *gpu = &machine->profile.gpus[i];
        if (length > 4 && !strncmp(gpu->uuid, word, length) && can_be_used(gpu))
            return gpu;
    }
    return NULL;
}

/* The first word that names no GPU ends the list, as with the real driver. A
 * process has one MIG instance at most, and then no other GPU. */
static void choose_devices(const char *visible)
{
    device_count = 0;
    if (!visible) {
        device_count = list_devices(devices);
        return;
    }
    while (device_count < FG_MAX_GPUS) {
        size_t length = strcspn(visible, ",");
        const struct fg_gpu *gpu = find_device(visible, length);
        if (!gpu)
            return;
        if (device_count && (fg_machine_parent(gpu) || fg_machine_parent(devices[0])))
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
