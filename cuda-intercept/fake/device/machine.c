#include "machine.h"

#include "root.h"
#include "state.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* nvidia-ctk gives containers the firmware of the driver's version. */
#define PROFILE_AS_FIRMWARE "/lib/firmware/nvidia/*/gsp_fake.bin"

/* Written once, under the lock, before it is handed out. */
static struct fg_machine machine;
static bool loaded;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static bool has_device_node(const struct fg_gpu *gpu)
{
    char name[32], path[4096];
    snprintf(name, sizeof name, "/dev/nvidia%u", gpu->minor);
    return fg_root_path(name, path, sizeof path) && access(path, F_OK) == 0;
}

/* Numbered as the real driver does: 15 GPU instances of at most eight compute instances each. */
static bool has_capability(unsigned number)
{
    char name[48], path[4096];
    snprintf(name, sizeof name, "/dev/nvidia-caps/nvidia-cap%u", number);
    return fg_root_path(name, path, sizeof path) && access(path, F_OK) == 0;
}

bool fg_machine_has_instance(const struct fg_gpu *instance)
{
    unsigned first = 3 + (instance->minor * 15 + instance->gpu_instance) * 9;
    return has_device_node(instance) && has_capability(first) &&
           has_capability(first + 1 + instance->compute_instance);
}

const struct fg_gpu *fg_machine_parent(const struct fg_gpu *gpu)
{
    return gpu->parent == FG_WHOLE ? NULL : &machine.profile.gpus[gpu->parent];
}

const struct fg_gpu *fg_machine_instance(const struct fg_gpu *gpu, unsigned index)
{
    for (unsigned i = 0; i < machine.profile.gpu_count; i++) {
        const struct fg_gpu *found = &machine.profile.gpus[i];
        if (fg_machine_parent(found) == gpu && fg_machine_has_instance(found) && index-- == 0)
            return found;
    }
    return NULL;
}

static bool load(void)
{
    char path[4096], message[256];
    if (!fg_root_find("/etc/fake-gpu/profile", PROFILE_AS_FIRMWARE, path, sizeof path))
        return false;
    const char *problem = fg_profile_read(path, &machine.profile, message);
    if (problem) {
        if (getenv("FAKE_GPU_DEBUG"))
            fprintf(stderr, "fake-gpu: %s\n", problem);
        return false;
    }
    if (fg_state_open())
        return false;
    machine.gpu_count = 0;
    for (unsigned i = 0; i < machine.profile.gpu_count; i++)
        if (!fg_machine_parent(&machine.profile.gpus[i]) &&
            has_device_node(&machine.profile.gpus[i]))
            machine.gpus[machine.gpu_count++] = &machine.profile.gpus[i];
    return true;
}

const struct fg_machine *fg_machine_load(void)
{
    pthread_mutex_lock(&loading);
    if (!loaded)
        loaded = load();
    pthread_mutex_unlock(&loading);
    return loaded ? &machine : NULL;
}

unsigned fg_machine_number(const struct fg_gpu *gpu)
{
    return (unsigned)(gpu - machine.profile.gpus);
}
