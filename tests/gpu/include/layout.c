/* Prints the numbers behind the declarations that the test programs are built with. */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stddef.h>
#include <stdio.h>

#define NUMBER(name) printf(#name " %lld\n", (long long)(name))
#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define FIELD(type, field) printf(#type "." #field " %zu\n", offsetof(type, field))

static void print_numbers(void)
{
    NUMBER(CUDA_SUCCESS);
    NUMBER(CUDA_ERROR_INVALID_VALUE);
    NUMBER(CUDA_ERROR_OUT_OF_MEMORY);
    NUMBER(CUDA_ERROR_NOT_FOUND);
    NUMBER(CU_LIMIT_STACK_SIZE);
    NUMBER(CU_AD_FORMAT_UNSIGNED_INT8);
    NUMBER(CU_AD_FORMAT_FLOAT);
    NUMBER(CU_STREAM_CAPTURE_MODE_GLOBAL);
    NUMBER(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    NUMBER(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    NUMBER(CU_MEM_ALLOCATION_TYPE_PINNED);
    NUMBER(CU_MEM_LOCATION_TYPE_DEVICE);
    NUMBER(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
    NUMBER(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH);
    NUMBER(CU_DEV_RESOURCE_TYPE_SM);
    NUMBER(CU_RESOURCE_TYPE_ARRAY);
    NUMBER(CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL);
    NUMBER(CU_MEM_OPERATION_TYPE_MAP);
    NUMBER(CU_MEM_OPERATION_TYPE_UNMAP);
    NUMBER(CU_EVENT_DEFAULT);
    NUMBER(CU_GET_PROC_ADDRESS_DEFAULT);
    NUMBER(CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    NUMBER(CU_GREEN_CTX_DEFAULT_STREAM);
    NUMBER(CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    NUMBER(CU_MEM_ATTACH_GLOBAL);
    NUMBER(CU_STREAM_NON_BLOCKING);
    NUMBER((size_t)CU_STREAM_PER_THREAD);
    NUMBER(CUDA_ARRAY3D_SPARSE);
}

static void print_types(void)
{
    SIZE(CUresult);
    SIZE(CUdevice);
    SIZE(CUdeviceptr);
    SIZE(CUmemGenericAllocationHandle);
    SIZE(CUuuid);
    SIZE(CUipcMemHandle);
    SIZE(CUDA_ARRAY_DESCRIPTOR);
    FIELD(CUDA_ARRAY_DESCRIPTOR, NumChannels);
    SIZE(CUDA_ARRAY3D_DESCRIPTOR);
    FIELD(CUDA_ARRAY3D_DESCRIPTOR, Flags);
    SIZE(CUmemAllocationProp);
    FIELD(CUmemAllocationProp, location);
    SIZE(CUmemPoolProps);
    FIELD(CUmemPoolProps, location);
    SIZE(CUDA_MEM_ALLOC_NODE_PARAMS);
    FIELD(CUDA_MEM_ALLOC_NODE_PARAMS, dptr);
    SIZE(CUlaunchConfig);
    FIELD(CUlaunchConfig, numAttrs);
    SIZE(CUDA_LAUNCH_PARAMS);
    FIELD(CUDA_LAUNCH_PARAMS, kernelParams);
    SIZE(CUarrayMapInfo);
    FIELD(CUarrayMapInfo, subresource.sparseLevel.extentDepth);
    FIELD(CUarrayMapInfo, memHandle);
    FIELD(CUarrayMapInfo, deviceBitMask);
}

int main(void)
{
    print_numbers();
    print_types();
    return sizeof(CUdevResource) <= 512 ? 0 : 1; /* ours has to hold any */
}
