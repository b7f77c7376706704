#include "cuda_check.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CONTEXT_PROFILE                                                                            \
    "cuda 13000\ncontext_bytes 524288000\nname X\nmemory_bytes 1073741824\n"                       \
    "gpu 0\nuuid GPU-00000000-0000-4000-8000-0000000000a0\npci 00000000:01:00.0\n"

#define RESERVED_PROFILE                                                                           \
    "cuda 13000\nname X\nmemory_bytes 1073741824\nreserved_bytes 104857600\n"                      \
    "gpu 0\nuuid GPU-00000000-0000-4000-8000-0000000000a0\npci 00000000:01:00.0\n"

static struct gate ready, go;

static void memory_ends_where_the_gpu_ends(void)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1025), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(allocate(1024), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(use_gpu(1), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1024), CUDA_SUCCESS);
}

static void small_allocations_take_two_mebibytes(void)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CUdeviceptr address;
    CHECK_EQUAL(cuMemAlloc_v2(&address, 1), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1022);
    CHECK_EQUAL(cuMemFree_v2(address), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static int hold(int mebibytes)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate((unsigned)mebibytes), CUDA_SUCCESS);
    open_gate(&ready);
    pass_gate(&go);
    return 0;
}

static void processes_share_the_gpu(void)
{
    ready = make_gate(), go = make_gate();
    pid_t child = start(hold, 600);
    pass_gate(&ready);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 424);
    CHECK_EQUAL(allocate(426), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(allocate(424), CUDA_SUCCESS);
    open_gate(&go);
    CHECK_EQUAL(finish(child), 0);
    CHECK_EQUAL(free_mebibytes(), 600);
}

static int use_gpu_as_status(int ordinal)
{
    return (int)use_gpu(ordinal);
}

static void forked_child_is_not_initialized(void)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(finish(start(use_gpu_as_status, 0)), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_EQUAL(allocate(10), CUDA_SUCCESS);
}

static void killed_process_is_forgotten(void)
{
    ready = make_gate(), go = make_gate();
    pid_t child = start(hold, 1000);
    pass_gate(&ready);
    kill(child, SIGKILL);
    CHECK_EQUAL(finish(child), 128 + SIGKILL);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(allocate(1024), CUDA_SUCCESS);
}

static int grab(int rounds)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    for (int i = 0; i < rounds; i++) {
        CUdeviceptr address;
        CUresult result = cuMemAlloc_v2(&address, 300 * MIB);
        if (result == CUDA_ERROR_OUT_OF_MEMORY)
            continue;
        CHECK_EQUAL(result, CUDA_SUCCESS);
        CHECK(free_mebibytes() <= 724);
        CHECK_EQUAL(cuMemFree_v2(address), CUDA_SUCCESS);
    }
    return 0;
}

static void many_processes_never_take_more_than_there_is(void)
{
    pid_t children[6];
    for (int i = 0; i < 6; i++)
        children[i] = start(grab, 300);
    for (int i = 0; i < 6; i++)
        CHECK_EQUAL(finish(children[i]), 0);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static void untouched_memory_costs_nothing(void)
{
    CUdeviceptr address;
    struct rusage before, after;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    getrusage(RUSAGE_SELF, &before);
    CHECK_EQUAL(cuMemAlloc_v2(&address, 1000 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemsetD8_v2(address, 0, 1000 * MIB), CUDA_SUCCESS);
    getrusage(RUSAGE_SELF, &after);
    CHECK((after.ru_maxrss - before.ru_maxrss) / 1024 < 20);
}

static void bytes_come_back_as_they_went(void)
{
    char sent[] = "sixteen bytes...", received[sizeof sent] = "";
    CUdeviceptr one, other;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAlloc_v2(&one, 4096), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAlloc_v2(&other, 4096), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemcpyHtoD_v2(one, sent, sizeof sent), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemcpyDtoDAsync_v2(other, one, sizeof sent, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemsetD8_v2(other, 'S', 1), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemcpyDtoH_v2(received, other, sizeof sent), CUDA_SUCCESS);
    CHECK_EQUAL(strcmp(received, "Sixteen bytes..."), 0);
}

static void unknown_pointers_are_refused(void)
{
    int here;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemFree_v2((CUdeviceptr)&here), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuMemFree_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemFreeHost(&here), CUDA_ERROR_INVALID_VALUE);
}

static void every_kind_of_device_memory_is_counted(void)
{
    CUdeviceptr address;
    size_t pitch;
    void *host;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAllocPitch_v2(&address, &pitch, 1000, 16 << 10, 4), CUDA_SUCCESS);
    CHECK_EQUAL(pitch, 1024);
    CHECK_EQUAL(free_mebibytes(), 1008);
    CHECK_EQUAL(cuMemAllocAsync(&address, 100 * MIB, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 908);
    CHECK_EQUAL(cuMemFreeAsync_ptsz(address, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuStreamSynchronize(NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAllocManaged(&address, 8 * MIB, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAllocHost_v2(&host, 64 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1000);
}

static void contexts_cost_what_the_profile_says(void)
{
    CUcontext first, second, third;
    CHECK_EQUAL(cuInit(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevicePrimaryCtxRetain(&first, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevicePrimaryCtxRetain(&first, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 24);
    CHECK_EQUAL(cuCtxCreate_v2(&third, 0, 0), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(allocate(20), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxDestroy_v2(second), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxSetCurrent(first), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 524);
}

static void a_context_for_which_the_stack_has_no_place_costs_nothing(void)
{
    CUcontext first, second;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxGetCurrent(&first), CUDA_SUCCESS);
    while (cuCtxPushCurrent_v2(first) == CUDA_SUCCESS)
        ;
    size_t before = free_mebibytes();
    CHECK_EQUAL(cuCtxCreate_v2(&second, 0, 0), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(free_mebibytes(), before);
}

static void the_reserved_part_is_not_to_be_had(void)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(allocate(926), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(allocate(924), CUDA_SUCCESS);
}

static const struct test tests[] = {
    {"limit", "an allocation beyond the GPU's memory is out of memory", memory_ends_where_the_gpu_ends, NULL},
    {"granularity", "a byte takes 2 MiB of the device", small_allocations_take_two_mebibytes, NULL},
    {"processes", "processes see one GPU's memory", processes_share_the_gpu, NULL},
    {"fork", "a forked child cannot use the parent's driver", forked_child_is_not_initialized, NULL},
    {"killed", "the memory of a killed process comes back at once", killed_process_is_forgotten, NULL},
    {"race", "racing processes never hold more than there is", many_processes_never_take_more_than_there_is, NULL},
    {"lazy", "memory that nobody writes is not there", untouched_memory_costs_nothing, NULL},
    {"copies", "copies and fills move real bytes", bytes_come_back_as_they_went, NULL},
    {"unknown", "pointers that are not the driver's are refused", unknown_pointers_are_refused, NULL},
    {"kinds", "pitched, stream-ordered and managed memory counts, host memory does not", every_kind_of_device_memory_is_counted, NULL},
    {"contexts", "a context costs what the profile says", contexts_cost_what_the_profile_says, CONTEXT_PROFILE},
    {"stack", "a context that cannot be made current is not made", a_context_for_which_the_stack_has_no_place_costs_nothing, CONTEXT_PROFILE},
    {"reserved", "the reserved part of the memory is no program's", the_reserved_part_is_not_to_be_had, RESERVED_PROFILE},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
