/*
 * Outside Kubernetes: HAMI_SHARE_<ID>, or HAMi-core's CUDA_DEVICE_MEMORY_LIMIT[_i]
 * and CUDA_DEVICE_SM_LIMIT[_i], where i is the device's number. The ledger is then
 * private to the process and its children.
 */
#include <stdio.h>
#include <string.h>

#include "../include/share_env.h"
#include "config.h"

#define ORDINAL_COUNT 16
#define MEMORY_VARIABLE "CUDA_DEVICE_MEMORY_LIMIT"
#define CORES_VARIABLE "CUDA_DEVICE_SM_LIMIT"

/* The value of "NAME=value" if the entry has that name, else NULL. */
static const char *value_of(const char *entry, const char *name, size_t length)
{
    return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

static const char *find(char *const *environment, const char *name)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *value = value_of(*environment, name, strlen(name));
        if (value != NULL)
            return value;
    }
    return NULL;
}

/* NAME_<ordinal>, or NAME for all devices. */
static const char *find_for(char *const *environment, const char *name, int ordinal)
{
    char numbered[64];
    snprintf(numbered, sizeof(numbered), "%s_%d", name, ordinal);
    const char *value = find(environment, numbered);
    return value == NULL ? find(environment, name) : value;
}

static void add(struct ci_config *config, const struct ci_limits *limits)
{
    if (config->count == CI_MAX_SHARES)
        return;
    struct ci_share *share = &config->shares[config->count];
    *share = (struct ci_share){.limits = *limits};
    ci_region_map_private(&share->region);
    config->count++;
    config->mode = CI_MODE_VARIABLES;
}

static void add_named(struct ci_config *config, const char *entry)
{
    static const size_t prefix = sizeof(HAMI_SHARE_ENV_PREFIX) - 1;
    const char *equals = strchr(entry, '=');
    size_t length = equals == NULL ? 0 : (size_t)(equals - entry) - prefix;
    struct ci_limits limits;
    if (length == 0 || length >= CI_SHARE_ID_BYTES || !ci_parse_share_variable(equals + 1, &limits))
        return;
    memcpy(limits.share, entry + prefix, length);
    limits.share[length] = '\0';
    add(config, &limits);
}

static void add_ordinal(struct ci_config *config, char *const *environment, int ordinal)
{
    const char *memory = find_for(environment, MEMORY_VARIABLE, ordinal);
    const char *cores = find_for(environment, CORES_VARIABLE, ordinal);
    struct ci_limits limits = {.ordinal = ordinal, .memory_bytes = CI_NO_LIMIT};
    uint64_t percent = 0;
    /* "0" means no limit to HAMi-core; so does 100 percent */
    if (memory != NULL && (!ci_parse_size(memory, &limits.memory_bytes) || limits.memory_bytes == 0))
        limits.memory_bytes = CI_NO_LIMIT;
    if (cores != NULL && (!ci_parse_number(cores, strlen(cores), &percent) || percent >= 100))
        percent = 0;
    limits.core_percent = (unsigned int)percent;
    limits.core_limit = percent > 0 ? CI_CORES_HARD : CI_CORES_NONE;
    if (limits.memory_bytes == CI_NO_LIMIT && percent == 0)
        return;
    snprintf(limits.share, sizeof(limits.share), "device-%02d", ordinal);
    add(config, &limits);
}

void ci_config_from_variables(struct ci_config *config, char *const *environment)
{
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, HAMI_SHARE_ENV_PREFIX, sizeof(HAMI_SHARE_ENV_PREFIX) - 1) == 0)
            add_named(config, *entry);
    if (config->count > 0)
        return;
    for (int ordinal = 0; ordinal < ORDINAL_COUNT; ordinal++)
        add_ordinal(config, environment, ordinal);
}
