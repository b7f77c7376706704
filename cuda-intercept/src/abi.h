/* The names that the generated prototypes use, reduced to what the ABI needs. */
#ifndef CI_ABI_H
#define CI_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi_layout.h"

#define CI_EXPORT __attribute__((visibility("default")))

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned int CUdeviceptr_v1;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef uint64_t cuuint64_t;
typedef int CUdevice_attribute;
typedef int CUdriverProcAddressQueryResult;
typedef int CUfunction_attribute;
typedef int CUfunctionLoadingState;
typedef int CUmoduleLoadingMode;
typedef int CUlimit;
typedef int CUstreamCaptureMode;
typedef int CUstreamCaptureStatus;
typedef void CUgraphEdgeData;
typedef int CUgraphMem_attribute;
typedef int CUgraphNodeType;
typedef int CUjit_option;
typedef int CUlibraryOption;
typedef int CUmemAllocationHandleType;
typedef int CUmemPool_attribute;
typedef void CUDA_KERNEL_NODE_PARAMS;
typedef void CUDA_KERNEL_NODE_PARAMS_v1;
typedef void CUDA_MEMCPY3D;
typedef void CUDA_MEMSET_NODE_PARAMS;
typedef void CUgraphExecUpdateResult;
typedef void CUgraphExecUpdateResultInfo;
typedef void CUgraphNodeParams;
typedef void (*CUgraphRecaptureCallback)(void); /* handed on only */
typedef void CUstreamCigCaptureParams;
typedef void CUctxCreateParams;
typedef void CUexecAffinityParam;
typedef void *CUarray;
typedef void *CUcontext;
typedef void *CUevent;
typedef void *CUdevResourceDesc;
typedef void *CUfunction;
typedef void *CUgraph;
typedef void *CUgraphExec;
typedef void *CUgraphNode;
typedef void *CUgreenCtx;
typedef void *CUkernel;
typedef void *CUlibrary;
typedef void *CUmemoryPool;
typedef void *CUmodule;
typedef void *CUmipmappedArray;
typedef void *CUstream;
typedef void *CUsurfref;
typedef void *CUtexref;
typedef struct {
    unsigned char bytes[16];
} CUuuid;
typedef struct ci_launch_config CUlaunchConfig;
typedef struct ci_allocation_prop CUmemAllocationProp;
typedef struct ci_array_descriptor CUDA_ARRAY_DESCRIPTOR;
typedef struct ci_array_descriptor_v1 CUDA_ARRAY_DESCRIPTOR_v1;
typedef struct ci_array3d_descriptor CUDA_ARRAY3D_DESCRIPTOR;
typedef struct ci_array3d_descriptor_v1 CUDA_ARRAY3D_DESCRIPTOR_v1;
typedef struct ci_allocation_prop CUmemPoolProps; /* begins alike */
typedef struct ci_array_map CUarrayMapInfo;
typedef struct ci_instantiation CUDA_GRAPH_INSTANTIATE_PARAMS;
typedef struct ci_memory_node CUDA_MEM_ALLOC_NODE_PARAMS;
typedef struct ci_launch_params CUDA_LAUNCH_PARAMS;

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
typedef void nvmlAccountingStats_t;
typedef struct ci_nvml_accounting nvmlAccountingStats_v2_t;
typedef struct ci_nvml_memory nvmlMemory_t;
typedef struct ci_nvml_memory_v2 nvmlMemory_v2_t;
typedef struct ci_nvml_process_v1 nvmlProcessInfo_v1_t;
typedef struct ci_nvml_process nvmlProcessInfo_v2_t;
typedef struct ci_nvml_process nvmlProcessInfo_t;
typedef struct ci_nvml_rates nvmlUtilization_t;
typedef struct ci_nvml_sample nvmlProcessUtilizationSample_t;
typedef struct ci_nvml_value nvmlSample_t;
typedef struct ci_nvml_domains nvmlGpuDynamicPstatesInfo_t;
typedef int nvmlSamplingType_t;
typedef int nvmlValueType_t;
typedef struct ci_nvml_utilization nvmlProcessesUtilizationInfo_t;
typedef struct ci_nvml_details nvmlProcessDetailList_t;

#define CUDA_SUCCESS 0
#define CUDA_ERROR_OUT_OF_MEMORY 2
#define CUDA_ERROR_NO_DEVICE 100
#define CUDA_ERROR_NOT_READY 600
#define CUDA_ERROR_STREAM_CAPTURE_INVALIDATED 901
#define CU_STREAM_CAPTURE_MODE_RELAXED 2
#define CU_STREAM_CAPTURE_STATUS_NONE 0
#define CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM 2
#define CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD 2
#define CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT 0
#define CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT 2
#define CU_GRAPH_NODE_TYPE_GRAPH 4
#define CU_GRAPH_NODE_TYPE_MEM_ALLOC 10
#define CU_LIMIT_STACK_SIZE 0
#define CU_LIMIT_PRINTF_FIFO_SIZE 1
#define CU_LIMIT_MALLOC_HEAP_SIZE 2
#define CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT 5
#define CU_MEMPOOL_ATTR_ALLOCATION_TYPE 9
#define CU_MEMPOOL_ATTR_LOCATION_ID 11
#define CU_MEMPOOL_ATTR_LOCATION_TYPE 12
#define CU_MEM_ALLOCATION_TYPE_MANAGED 2
#define CU_MEM_LOCATION_TYPE_DEVICE 1
#define CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN 6
#define CUDA_ARRAY3D_LAYERED 0x01
#define CUDA_ARRAY3D_CUBEMAP 0x04
#define CUDA_ARRAY3D_SPARSE 0x40
#define CUDA_ARRAY3D_DEFERRED_MAPPING 0x80
#define NVML_SUCCESS 0
#define NVML_ERROR_INSUFFICIENT_SIZE 7
#define NVML_ERROR_INVALID_ARGUMENT 2
#define NVML_ERROR_LIBRARY_NOT_FOUND 12
#define NVML_GPU_UTILIZATION_SAMPLES 1

#endif
