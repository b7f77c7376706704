/*
 * What the simulated machine has. A profile is a text file of "key value"
 * lines; '#' starts a comment. A line "gpu <minor>" begins a GPU, which starts
 * out with what the lines before the first GPU said. A GPU with "mig_mode 1" is
 * split by MIG; after its other lines it may have instances, each a line
 * "mig <profile> <GPU instance> <compute instance> <UUID> <bytes> <multiprocessors>".
 */
#ifndef FG_PROFILE_H
#define FG_PROFILE_H

#include <stdint.h>

#define FG_MAX_GPUS 16 /* MIG instances among them */
#define FG_MAX_LINKS 18
#define FG_PCI_LENGTH 32
#define FG_WHOLE (-1)

struct fg_gpu {
    unsigned minor;
    char uuid[64]; /* as NVML spells it */
    char name[96];
    char pci[FG_PCI_LENGTH]; /* 00000000:1B:00.0 */
    char serial[32];
    uint64_t memory_bytes;   /* all of it, as NVML says */
    uint64_t reserved_bytes; /* the part that no program can have */
    uint64_t pci_device_id;
    uint64_t pci_subsystem_id;
    int64_t numa_node; /* -1: unknown */
    uint64_t compute_major;
    uint64_t compute_minor;
    uint64_t architecture; /* NVML_DEVICE_ARCH_* */
    uint64_t multiprocessors;
    uint64_t cores_per_multiprocessor;
    uint64_t sm_clock_mhz;
    uint64_t memory_clock_mhz;
    uint64_t memory_bus_bits;
    uint64_t l2_bytes;
    uint64_t power_limit_mw;
    uint64_t idle_power_mw;
    uint64_t temperature_c;
    uint64_t mig_mode; /* 1: split */
    int parent;        /* of a MIG instance, in the profile; else FG_WHOLE */
    char mig_profile[24];
    unsigned gpu_instance;
    unsigned compute_instance;
    unsigned link_count;
    char links[FG_MAX_LINKS][FG_PCI_LENGTH]; /* NVLink's far ends */
};

struct fg_profile {
    char driver_version[80];
    char nvml_version[80];
    uint64_t cuda_version;  /* 1000 * major + 10 * minor */
    uint64_t context_bytes; /* what a context costs on its GPU */
    uint64_t module_bytes;  /* ... a module or library */
    uint64_t green_context_bytes;
    uint64_t function_bytes; /* ... the code of a function, at its first launch */
    uint64_t lazy_module_data; /* 1: a module's data waits for its first use, as a library's does */
    uint64_t growth_percent; /* how much of what limits and local memory ask for is taken; 0: nothing */
    uint64_t pool_chunk_bytes; /* what pools grow by; 0: 2 MiB */
    uint64_t pool_in_pieces; /* 1: what is free of a pool in use lies in pieces that serve no request */
    uint64_t accounting;    /* 1: NVML remembers processes */
    uint64_t in_all_lists;  /* 1: those that compute draw too, and are clients of MPS */
    uint64_t kernel_ns;     /* how long a kernel runs that says nothing */
    unsigned gpu_count;
    struct fg_gpu gpus[FG_MAX_GPUS];
};

/* Reads the profile at `path`. Returns NULL, or a message with the line in it
 * that is written to `message`. */
const char *fg_profile_read(const char *path, struct fg_profile *profile, char message[256]);

#endif
