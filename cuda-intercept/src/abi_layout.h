/*
 * The few structures of the driver and NVML whose fields we read or write.
 * tests/abi_check.c holds them against the real headers of every supported
 * CUDA generation; the library itself builds without those headers.
 */
#ifndef CI_ABI_LAYOUT_H
#define CI_ABI_LAYOUT_H

#include <stddef.h>

struct ci_launch_config {
    unsigned int grid[3];
    unsigned int block[3];
    unsigned int shared_bytes;
    void *hStream;
    void *attributes;
    unsigned int attribute_count;
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

#endif
