#define _GNU_SOURCE
#include "config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../include/share_env.h"
#include "terms.h"

/* Written once by whoever builds it first; forked children keep it. */
static _Atomic(struct ci_config *) current;

extern char **environ;

static void discard(struct ci_config *config)
{
    for (int i = 0; i < config->count; i++) {
        ci_region_unmap(&config->shares[i].region);
        if (config->shares[i].node != NULL)
            munmap((void *)config->shares[i].node, HAMI_NODE_BYTES);
    }
    free(config);
}

static struct ci_config *build(void)
{
    struct ci_config *config = calloc(1, sizeof(*config));
    dev_t device;
    if (config == NULL)
        return NULL;
    if (ci_preload_names_us(&device))
        ci_config_from_files(config, device);
    else if (getauxval(AT_SECURE) == 0)
        ci_config_from_variables(config, environ);
    for (int i = 0; i < config->count; i++)
        config->gated = config->gated || ci_terms_limit(&config->shares[i].limits);
    return config;
}

struct ci_config *ci_config_get(void)
{
    struct ci_config *config = atomic_load_explicit(&current, memory_order_acquire);
    if (config != NULL)
        return config;
    struct ci_config *mine = build();
    if (mine == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(&current, &config, mine))
        return mine;
    discard(mine);
    return config;
}
