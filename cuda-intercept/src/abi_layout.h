/*
 * The few structures of the driver and NVML whose fields we read or write.
 * tests/abi_check.c holds them against the real headers of every supported
 * CUDA generation; the library itself builds without those headers.
 */
#ifndef CI_ABI_LAYOUT_H
#define CI_ABI_LAYOUT_H

#include <stddef.h>

#define CI_POOL_PROPS_BYTES 88

struct ci_launch_config {
    unsigned int grid[3];
    unsigned int block[3];
    unsigned int shared_bytes;
    void *hStream;
    void *attributes;
    unsigned int attribute_count;
};

struct ci_launch_params {
    void *function;
    unsigned int grid[3];
    unsigned int block[3];
    unsigned int shared_bytes;
    void *stream;
    void **parameters;
};

struct ci_location {
    int type;
    int id;
};

struct ci_allocation_prop {
    int type;
    int handle_types;
    struct ci_location location;
};

struct ci_memory_node {
    struct ci_allocation_prop pool;
    unsigned char rest[CI_POOL_PROPS_BYTES - sizeof(struct ci_allocation_prop)];
    const void *access;
    size_t access_count;
    size_t bytes;
    unsigned long long address;
};

struct ci_instantiation {
    unsigned long long flags;
    void *upload_stream;
    void *error_node;
    int outcome;
};

struct ci_array_descriptor {
    size_t width;
    size_t height;
    int format;
    unsigned int channels;
};

struct ci_array_descriptor_v1 {
    unsigned int width;
    unsigned int height;
    int format;
    unsigned int channels;
};

struct ci_array3d_descriptor {
    size_t width;
    size_t height;
    size_t depth;
    int format;
    unsigned int channels;
    unsigned int flags;
};

struct ci_array3d_descriptor_v1 {
    unsigned int width;
    unsigned int height;
    unsigned int depth;
    int format;
    unsigned int channels;
    unsigned int flags;
};

#define CI_SUBRESOURCE_BYTES 32

struct ci_array_map {
    int resource_type;
    void *array; /* or mipmapped array */
    int subresource_type;
    unsigned long long subresource[CI_SUBRESOURCE_BYTES / 8];
    int operation;
    int handle_type;
    unsigned long long handle;
    unsigned long long offset;
    unsigned int device_mask;
    unsigned int flags;
    unsigned int reserved[2];
};

struct ci_nvml_memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};

struct ci_nvml_memory_v2 {
    unsigned int version;
    unsigned long long total;
    unsigned long long reserved;
    unsigned long long free;
    unsigned long long used;
};

struct ci_nvml_accounting {
    unsigned int pid;
    unsigned int is_running;
    unsigned int percents[2];
    unsigned long long most_used;
};

struct ci_nvml_process_v1 {
    unsigned int pid;
    unsigned long long used;
};

struct ci_nvml_process {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance;
    unsigned int compute_instance;
};

struct ci_nvml_rates {
    unsigned int gpu;
    unsigned int memory;
};

struct ci_nvml_sample {
    unsigned int pid;
    unsigned long long time;
    unsigned int percents[4];
};

struct ci_nvml_value {
    unsigned long long time;
    unsigned long long value; /* smaller integers begin it */
};

/* How busy the parts of a GPU are; the first one runs kernels. */
struct ci_nvml_domains {
    unsigned int flags;
    struct {
        unsigned int is_present;
        unsigned int percent;
        unsigned int thresholds[2];
    } domains[8];
};

struct ci_nvml_utilization_entry {
    unsigned long long time;
    unsigned int pid;
    unsigned int percents[6];
};

struct ci_nvml_utilization {
    unsigned int version;
    unsigned int count;
    unsigned long long last_seen;
    struct ci_nvml_utilization_entry *entries;
};

struct ci_nvml_detail {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance;
    unsigned int compute_instance;
    unsigned long long protected_bytes;
};

struct ci_nvml_details {
    unsigned int version;
    unsigned int mode;
    unsigned int count;
    struct ci_nvml_detail *entries;
};

#endif
