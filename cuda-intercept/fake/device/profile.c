#include "profile.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, NUMBER };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size; /* of a text */
};

#define FIELD(type, member) offsetof(type, member), sizeof(((type *)0)->member)

static const struct key machine_keys[] = {
    {"driver", TEXT, FIELD(struct fg_profile, driver_version)},
    {"nvml", TEXT, FIELD(struct fg_profile, nvml_version)},
    {"cuda", NUMBER, FIELD(struct fg_profile, cuda_version)},
    {"context_bytes", NUMBER, FIELD(struct fg_profile, context_bytes)},
    {"module_bytes", NUMBER, FIELD(struct fg_profile, module_bytes)},
    {"green_context_bytes", NUMBER, FIELD(struct fg_profile, green_context_bytes)},
    {"function_bytes", NUMBER, FIELD(struct fg_profile, function_bytes)},
    {"lazy_module_data", NUMBER, FIELD(struct fg_profile, lazy_module_data)},
    {"growth_percent", NUMBER, FIELD(struct fg_profile, growth_percent)},
    {"pool_chunk_bytes", NUMBER, FIELD(struct fg_profile, pool_chunk_bytes)},
    {"pool_in_pieces", NUMBER, FIELD(struct fg_profile, pool_in_pieces)},
    {"accounting", NUMBER, FIELD(struct fg_profile, accounting)},
    {"in_all_lists", NUMBER, FIELD(struct fg_profile, in_all_lists)},
    {"kernel_ns", NUMBER, FIELD(struct fg_profile, kernel_ns)},
    {0},
};

static const struct key gpu_keys[] = {
    {"uuid", TEXT, FIELD(struct fg_gpu, uuid)},
    {"name", TEXT, FIELD(struct fg_gpu, name)},
    {"pci", TEXT, FIELD(struct fg_gpu, pci)},
    {"serial", TEXT, FIELD(struct fg_gpu, serial)},
    {"memory_bytes", NUMBER, FIELD(struct fg_gpu, memory_bytes)},
    {"reserved_bytes", NUMBER, FIELD(struct fg_gpu, reserved_bytes)},
    {"pci_device_id", NUMBER, FIELD(struct fg_gpu, pci_device_id)},
    {"pci_subsystem_id", NUMBER, FIELD(struct fg_gpu, pci_subsystem_id)},
    {"numa_node", NUMBER, FIELD(struct fg_gpu, numa_node)},
    {"compute_major", NUMBER, FIELD(struct fg_gpu, compute_major)},
    {"compute_minor", NUMBER, FIELD(struct fg_gpu, compute_minor)},
    {"architecture", NUMBER, FIELD(struct fg_gpu, architecture)},
    {"multiprocessors", NUMBER, FIELD(struct fg_gpu, multiprocessors)},
    {"cores_per_multiprocessor", NUMBER, FIELD(struct fg_gpu, cores_per_multiprocessor)},
    {"sm_clock_mhz", NUMBER, FIELD(struct fg_gpu, sm_clock_mhz)},
    {"memory_clock_mhz", NUMBER, FIELD(struct fg_gpu, memory_clock_mhz)},
    {"memory_bus_bits", NUMBER, FIELD(struct fg_gpu, memory_bus_bits)},
    {"l2_bytes", NUMBER, FIELD(struct fg_gpu, l2_bytes)},
    {"power_limit_mw", NUMBER, FIELD(struct fg_gpu, power_limit_mw)},
    {"idle_power_mw", NUMBER, FIELD(struct fg_gpu, idle_power_mw)},
    {"temperature_c", NUMBER, FIELD(struct fg_gpu, temperature_c)},
    {"mig_mode", NUMBER, FIELD(struct fg_gpu, mig_mode)},
    {0},
};

static const struct key *find_key(const struct key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (!strcmp(keys->name, name))
            return keys;
    return NULL;
}

static const char *set_number(const char *value, void *target)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 0);
    if (errno || end == value || *end)
        return "wanted a number";
    memcpy(target, &(int64_t){number}, sizeof(int64_t));
    return NULL;
}

static const char *set_text(const char *value, char *target, size_t size)
{
    if (strlen(value) >= size)
        return "the value is too long";
    strcpy(target, value);
    return NULL;
}

static const char *set_key(const struct key *key, void *object, const char *value)
{
    char *target = (char *)object + key->offset;
    return key->kind == TEXT ? set_text(value, target, key->size) : set_number(value, target);
}

static const char *begin_gpu(struct fg_profile *profile, const struct fg_gpu *defaults,
                             const char *value)
{
    if (profile->gpu_count == FG_MAX_GPUS)
        return "too many GPUs";
    int64_t minor;
    const char *problem = set_number(value, &minor);
    if (problem)
        return problem;
    struct fg_gpu *gpu = &profile->gpus[profile->gpu_count++];
    *gpu = *defaults;
    gpu->minor = (unsigned)minor;
    return NULL;
}

static const char *add_link(struct fg_gpu *gpu, const char *value)
{
    if (gpu->link_count == FG_MAX_LINKS)
        return "too many NVLinks";
    return set_text(value, gpu->links[gpu->link_count++], FG_PCI_LENGTH);
}

/* An instance is a device like any other, but for what it has of its parent. */
static const char *add_instance(struct fg_profile *profile, const char *value)
{
    struct fg_gpu instance;
    unsigned long long bytes, multiprocessors;
    char name[sizeof instance.name];
    int parent = (int)profile->gpu_count - 1;
    if (parent < 0 || profile->gpu_count == FG_MAX_GPUS)
        return parent < 0 ? "an instance before the first GPU" : "too many GPUs";
    if (profile->gpus[parent].parent != FG_WHOLE)
        parent = profile->gpus[parent].parent;
    if (!profile->gpus[parent].mig_mode)
        return "an instance of a GPU without mig_mode";
    instance = profile->gpus[parent];
    if (sscanf(value, "%23s %u %u %63s %llu %llu", instance.mig_profile, &instance.gpu_instance,
               &instance.compute_instance, instance.uuid, &bytes, &multiprocessors) != 6)
        return "wanted profile, GPU instance, compute instance, UUID, bytes, multiprocessors";
    snprintf(name, sizeof name, "%.60s MIG %s", profile->gpus[parent].name, instance.mig_profile);
    strcpy(instance.name, name);
    instance.parent = parent;
    instance.memory_bytes = bytes;
    instance.multiprocessors = multiprocessors;
    instance.reserved_bytes = 0;
    instance.link_count = 0;
    *instance.serial = 0;
    profile->gpus[profile->gpu_count++] = instance;
    return NULL;
}

static const char *read_pair(struct fg_profile *profile, struct fg_gpu *defaults,
                             const char *name, const char *value)
{
    struct fg_gpu *gpu = profile->gpu_count ? &profile->gpus[profile->gpu_count - 1] : defaults;
    if (!strcmp(name, "gpu"))
        return begin_gpu(profile, defaults, value);
    if (!strcmp(name, "nvlink"))
        return add_link(gpu, value);
    if (!strcmp(name, "mig"))
        return add_instance(profile, value);
    const struct key *key = find_key(gpu_keys, name);
    if (key)
        return set_key(key, gpu, value);
    key = find_key(machine_keys, name);
    return key ? set_key(key, profile, value) : "unknown key";
}

/* Splits "  key value  # comment" in place; *name is empty on a blank line. */
static void split(char *line, char **name, char **value)
{
    line[strcspn(line, "#\n")] = 0;
    *name = line + strspn(line, " \t");
    char *space = *name + strcspn(*name, " \t");
    *value = space + strspn(space, " \t");
    *space = 0;
    for (char *end = *value + strlen(*value); end > *value && strchr(" \t", end[-1]);)
        *--end = 0;
}

const char *fg_profile_read(const char *path, struct fg_profile *profile, char message[256])
{
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(message, 256, "%.160s: %s", path, strerror(errno));
        return message;
    }
    struct fg_gpu defaults = {.numa_node = -1, .parent = FG_WHOLE};
    memset(profile, 0, sizeof *profile);
    char line[512], *name, *value;
    const char *problem = NULL;
    unsigned number = 0;
    while (!problem && fgets(line, sizeof line, file)) {
        number++;
        split(line, &name, &value);
        if (*name)
            problem = read_pair(profile, &defaults, name, value);
    }
    fclose(file);
    if (!problem)
        return NULL;
    snprintf(message, 256, "%.160s:%u: %s", path, number, problem);
    return message;
}
