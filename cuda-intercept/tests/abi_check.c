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

SAME(ci_array_map, array, CUarrayMapInfo, resource);
SAME(ci_array_map, subresource_type, CUarrayMapInfo, subresourceType);
SAME(ci_array_map, subresource, CUarrayMapInfo, subresource);
SAME(ci_array_map, operation, CUarrayMapInfo, memOperationType);
SAME(ci_array_map, handle, CUarrayMapInfo, memHandle);
_Static_assert(sizeof(struct ci_array_map) == sizeof(CUarrayMapInfo), "array map");
_Static_assert(CU_MEM_OPERATION_TYPE_MAP == 1, "operations");

SAME(ci_nvml_memory, total, nvmlMemory_t, total);
SAME(ci_nvml_memory, free, nvmlMemory_t, free);
SAME(ci_nvml_memory, used, nvmlMemory_t, used);
SAME(ci_nvml_memory_v2, total, nvmlMemory_v2_t, total);
SAME(ci_nvml_memory_v2, reserved, nvmlMemory_v2_t, reserved);
SAME(ci_nvml_memory_v2, free, nvmlMemory_v2_t, free);
SAME(ci_nvml_memory_v2, used, nvmlMemory_v2_t, used);

SAME(ci_allocation_prop, type, CUmemPoolProps, allocType);
SAME(ci_allocation_prop, location.type, CUmemPoolProps, location.type);
SAME(ci_allocation_prop, location.id, CUmemPoolProps, location.id);
SAME(ci_memory_node, bytes, CUDA_MEM_ALLOC_NODE_PARAMS, bytesize);
SAME(ci_memory_node, address, CUDA_MEM_ALLOC_NODE_PARAMS, dptr);
_Static_assert(sizeof(struct ci_memory_node) == sizeof(CUDA_MEM_ALLOC_NODE_PARAMS), "memory node");

SAME(ci_instantiation, flags, CUDA_GRAPH_INSTANTIATE_PARAMS, flags);
_Static_assert(sizeof(struct ci_instantiation) == sizeof(CUDA_GRAPH_INSTANTIATE_PARAMS), "instantiation");
_Static_assert(CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD == 2, "flag that uploads");

SAME(ci_nvml_accounting, pid, nvmlAccountingStats_v2_t, pid);
SAME(ci_nvml_accounting, most_used, nvmlAccountingStats_v2_t, maxMemoryUsage);
SAME(ci_launch_params, stream, CUDA_LAUNCH_PARAMS, hStream);
_Static_assert(sizeof(struct ci_launch_params) == sizeof(CUDA_LAUNCH_PARAMS), "launch on several GPUs");

SAME(ci_nvml_process_v1, used, nvmlProcessInfo_v1_t, usedGpuMemory);
_Static_assert(sizeof(struct ci_nvml_process_v1) == sizeof(nvmlProcessInfo_v1_t), "process, version 1");
SAME(ci_nvml_process, used, nvmlProcessInfo_v2_t, usedGpuMemory);
SAME(ci_nvml_process, compute_instance, nvmlProcessInfo_t, computeInstanceId);
_Static_assert(sizeof(struct ci_nvml_process) == sizeof(nvmlProcessInfo_v2_t), "process, version 2");
_Static_assert(sizeof(struct ci_nvml_process) == sizeof(nvmlProcessInfo_t), "process, version 3");
SAME(ci_nvml_rates, gpu, nvmlUtilization_t, gpu);
_Static_assert(sizeof(struct ci_nvml_rates) == sizeof(nvmlUtilization_t), "rates");
SAME(ci_nvml_value, time, nvmlSample_t, timeStamp);
SAME(ci_nvml_value, value, nvmlSample_t, sampleValue);
_Static_assert(sizeof(struct ci_nvml_value) == sizeof(nvmlSample_t), "value");
_Static_assert(offsetof(struct ci_nvml_domains, domains[1].percent) ==
                   offsetof(nvmlGpuDynamicPstatesInfo_t, utilization[1].percentage),
               "percent of a domain");
_Static_assert(sizeof(struct ci_nvml_domains) == sizeof(nvmlGpuDynamicPstatesInfo_t), "domains");
_Static_assert(NVML_GPU_UTILIZATION_SAMPLES == 1 && NVML_GPU_UTILIZATION_DOMAIN_GPU == 0, "utilization");
_Static_assert(offsetof(struct ci_nvml_sample, percents) == offsetof(nvmlProcessUtilizationSample_t, smUtil), "percent");
_Static_assert(offsetof(struct ci_nvml_utilization_entry, percents) == offsetof(nvmlProcessUtilizationInfo_v1_t, smUtil),
               "percent of the newer list");
SAME(ci_nvml_sample, pid, nvmlProcessUtilizationSample_t, pid);
_Static_assert(sizeof(struct ci_nvml_sample) == sizeof(nvmlProcessUtilizationSample_t), "sample");
SAME(ci_nvml_utilization_entry, pid, nvmlProcessUtilizationInfo_v1_t, pid);
_Static_assert(sizeof(struct ci_nvml_utilization_entry) == sizeof(nvmlProcessUtilizationInfo_v1_t), "utilization");
SAME(ci_nvml_utilization, count, nvmlProcessesUtilizationInfo_t, processSamplesCount);
SAME(ci_nvml_utilization, entries, nvmlProcessesUtilizationInfo_t, procUtilArray);
SAME(ci_nvml_detail, used, nvmlProcessDetail_v1_t, usedGpuMemory);
_Static_assert(sizeof(struct ci_nvml_detail) == sizeof(nvmlProcessDetail_v1_t), "process detail");
SAME(ci_nvml_details, count, nvmlProcessDetailList_t, numProcArrayEntries);
SAME(ci_nvml_details, entries, nvmlProcessDetailList_t, procArray);

_Static_assert(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT == 0 && CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT == 2, "graph memory");
_Static_assert(CU_GRAPH_NODE_TYPE_GRAPH == 4 && CU_GRAPH_NODE_TYPE_MEM_ALLOC == 10, "graph nodes");
_Static_assert(CU_STREAM_CAPTURE_MODE_RELAXED == 2 && CU_STREAM_CAPTURE_STATUS_NONE == 0, "captures");
_Static_assert(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED == 901, "invalid captures");
_Static_assert(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT == 5, "pool attributes");
_Static_assert(CU_LIMIT_STACK_SIZE == 0 && CU_LIMIT_PRINTF_FIFO_SIZE == 1 && CU_LIMIT_MALLOC_HEAP_SIZE == 2, "limits");
_Static_assert(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES == 3 && CU_FUNCTION_LOADING_STATE_LOADED == 1, "functions");
_Static_assert(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT == 16 &&
                   CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR == 39,
               "attributes");
#if CUDA_VERSION >= 13000
_Static_assert(CU_MEMPOOL_ATTR_ALLOCATION_TYPE == 9 && CU_MEM_ALLOCATION_TYPE_MANAGED == 2, "managed pools");
_Static_assert(CU_MEMPOOL_ATTR_LOCATION_ID == 11 && CU_MEMPOOL_ATTR_LOCATION_TYPE == 12, "pool locations");
#endif

_Static_assert(sizeof(CUdevice) == sizeof(int) && sizeof(CUresult) == sizeof(int), "plain integers");
_Static_assert(sizeof(CUdeviceptr) == 8 && sizeof(CUmemGenericAllocationHandle) == 8, "addresses");
