/* Our reduced structures against the real headers; compiled once per CUDA
 * generation. Nothing runs: a difference does not compile. */
#include <cuda.h>
#include <nvml.h>

#include "../src/abi_layout.h"

#define SAME(ours, our_field, theirs, their_field)                                                                     \
    _Static_assert(offsetof(struct ours, our_field) == offsetof(theirs, their_field) &&                                \
                       sizeof(((struct ours *)0)->our_field) == sizeof(((theirs *)0)->their_field),                    \
                   #ours "." #our_field)

SAME(ci_launch_config, grid[0], CUlaunchConfig, gridDimX);
SAME(ci_launch_config, block[2], CUlaunchConfig, blockDimZ);
SAME(ci_launch_config, shared_bytes, CUlaunchConfig, sharedMemBytes);
SAME(ci_launch_config, hStream, CUlaunchConfig, hStream);
_Static_assert(sizeof(struct ci_launch_config) == sizeof(CUlaunchConfig), "launch config");

SAME(ci_allocation_prop, type, CUmemAllocationProp, type);
SAME(ci_allocation_prop, location.type, CUmemAllocationProp, location.type);
SAME(ci_allocation_prop, location.id, CUmemAllocationProp, location.id);

SAME(ci_array_descriptor, width, CUDA_ARRAY_DESCRIPTOR, Width);
SAME(ci_array_descriptor, format, CUDA_ARRAY_DESCRIPTOR, Format);
SAME(ci_array_descriptor, channels, CUDA_ARRAY_DESCRIPTOR, NumChannels);
SAME(ci_array3d_descriptor, depth, CUDA_ARRAY3D_DESCRIPTOR, Depth);
SAME(ci_array3d_descriptor, format, CUDA_ARRAY3D_DESCRIPTOR, Format);
SAME(ci_array3d_descriptor, flags, CUDA_ARRAY3D_DESCRIPTOR, Flags);

SAME(ci_nvml_memory, total, nvmlMemory_t, total);
SAME(ci_nvml_memory, free, nvmlMemory_t, free);
SAME(ci_nvml_memory, used, nvmlMemory_t, used);
SAME(ci_nvml_memory_v2, total, nvmlMemory_v2_t, total);
SAME(ci_nvml_memory_v2, reserved, nvmlMemory_v2_t, reserved);
SAME(ci_nvml_memory_v2, free, nvmlMemory_v2_t, free);
SAME(ci_nvml_memory_v2, used, nvmlMemory_v2_t, used);

_Static_assert(sizeof(CUdevice) == sizeof(int) && sizeof(CUresult) == sizeof(int), "plain integers");
_Static_assert(sizeof(CUdeviceptr) == 8 && sizeof(CUmemGenericAllocationHandle) == 8, "addresses");
