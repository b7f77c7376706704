/* The shares of this process, read once, when it first asks for a driver symbol. */
#ifndef CI_CONFIG_H
#define CI_CONFIG_H

#include <sys/types.h>

#include "limits.h"
#include "region.h"

#define CI_MAX_SHARES 64

/* Set by test builds only, so that no variable can move the paths of a release. */
#ifndef CI_ROOT
#define CI_ROOT ""
#endif

enum ci_mode {
    CI_MODE_UNLIMITED, /* outside Kubernetes, and no variable names a share */
    CI_MODE_VARIABLES, /* outside Kubernetes: GPUs that no variable names are free */
    CI_MODE_FILES,     /* in a container of ours: GPUs without a share are closed */
};

struct ci_share {
    struct ci_limits limits;
    struct ci_region region;
    const unsigned char *node; /* one page, or NULL */
    dev_t device;              /* of the usage file, to know it again */
    ino_t inode;
};

struct ci_config {
    enum ci_mode mode;
    bool gated; /* some share needs its launches held back */
    int count;
    struct ci_share shares[CI_MAX_SHARES]; /* in the order of their ids */
};

/* Only `region` of a share changes after this; NULL: out of memory. */
struct ci_config *ci_config_get(void);

/* Opens the usage file of a share again; -1 if it is not the one mapped. */
int ci_share_open_usage(const struct ci_share *share);

/* Reads the shares of the container's files, or of the variables. */
bool ci_preload_names_us(dev_t *device); /* `device`: of the preload file */
void ci_config_from_files(struct ci_config *config, dev_t device);
void ci_config_from_variables(struct ci_config *config, char *const *environment);

/* What the plugin says on the share's page. */
struct ci_node {
    uint64_t heartbeat_ns;
    uint64_t unledgered_bytes;
    uint32_t gate;
    uint32_t correction;
    uint32_t others;
};

/* False: there is no page of ours. */
bool ci_node_read(const unsigned char *node, struct ci_node *page);

/* Bytes that NVML sees on the share beyond its ledger, as the plugin found. */
uint64_t ci_node_unledgered(const unsigned char *node);

#endif
