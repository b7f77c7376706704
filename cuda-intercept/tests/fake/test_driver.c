#include "cuda_check.h"

#include <string.h>

static const char first_uuid[] = {0, 0, 0, 0, 0, 0, 0x40, 0, (char)0x80, 0, 0, 0, 0, 0, 0, (char)0xa0};
static const char second_uuid[] = {0, 0, 0, 0, 0, 0, 0x40, 0, (char)0x80, 0, 0, 0, 0, 0, 0, (char)0xb1};

static void check_device(int ordinal, const char *expected)
{
    CUuuid uuid;
    CHECK_EQUAL(cuDeviceGetUuid_v2(&uuid, ordinal), CUDA_SUCCESS);
    CHECK_EQUAL(memcmp(uuid.bytes, expected, sizeof uuid.bytes), 0);
}

static void check_count(int expected)
{
    int count = -1;
    CHECK_EQUAL(cuInit(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDeviceGetCount(&count), CUDA_SUCCESS);
    CHECK_EQUAL(count, expected);
}

static void only_gpus_with_a_node_are_there(void)
{
    hide_gpu(0);
    check_count(1);
    check_device(0, second_uuid);
}

static void no_gpu_is_no_device(void)
{
    hide_gpu(0);
    hide_gpu(1);
    CHECK_EQUAL(cuInit(0), CUDA_ERROR_NO_DEVICE);
}

static void visible_devices_are_chosen_and_ordered(void)
{
    setenv("CUDA_VISIBLE_DEVICES", "1,GPU-00000000-0000-4000-8000-0000000000a,7,0", 1);
    check_count(2);
    check_device(0, second_uuid);
    check_device(1, first_uuid);
}

static void no_visible_device_is_no_device(void)
{
    setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
    CHECK_EQUAL(cuInit(0), CUDA_ERROR_NO_DEVICE);
}

static void nothing_works_before_init(void)
{
    int count, version = 0;
    CHECK_EQUAL(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_EQUAL(allocate(1), CUDA_ERROR_NOT_INITIALIZED);
    CHECK_EQUAL(cuDriverGetVersion(&version), CUDA_SUCCESS);
    CHECK_EQUAL(version, 13000);
    CHECK_EQUAL(cuInit(1), CUDA_ERROR_INVALID_VALUE);
}

static void memory_needs_a_context(void)
{
    CHECK_EQUAL(cuInit(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1), CUDA_ERROR_INVALID_CONTEXT);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1), CUDA_ERROR_CONTEXT_IS_DESTROYED);
}

static void releasing_the_context_frees_its_memory(void)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1000), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static void errors_have_names(void)
{
    const char *text;
    CHECK_EQUAL(cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &text), CUDA_SUCCESS);
    CHECK_EQUAL(strcmp(text, "CUDA_ERROR_OUT_OF_MEMORY"), 0);
    CHECK_EQUAL(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text), CUDA_SUCCESS);
    CHECK_EQUAL(strcmp(text, "out of memory"), 0);
    CHECK_EQUAL(cuGetErrorName((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
}

static const struct test tests[] = {
    {"nodes", "only GPUs whose device node is there are seen", only_gpus_with_a_node_are_there, NULL},
    {"no-node", "without any node there is no device", no_gpu_is_no_device, NULL},
    {"visible", "CUDA_VISIBLE_DEVICES chooses, orders and ends at a wrong word", visible_devices_are_chosen_and_ordered, NULL},
    {"hidden", "CUDA_VISIBLE_DEVICES can hide all", no_visible_device_is_no_device, NULL},
    {"init", "before cuInit only the version can be had", nothing_works_before_init, NULL},
    {"context", "memory needs a living context", memory_needs_a_context, NULL},
    {"release", "a released primary context gives its memory back", releasing_the_context_frees_its_memory, NULL},
    {"errors", "errors have the names of cuda.h", errors_have_names, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
