#include "cuda_check.h"

#include <dlfcn.h>
#include <string.h>

#define PER_THREAD CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM

/* What cuGetProcAddress has to answer: a symbol, or NULL and why. */
struct question {
    const char *base;
    int version;
    cuuint64_t flags;
    const char *symbol;
    CUdriverProcAddressQueryResult status;
};

static const struct question questions[] = {
    {"cuMemAlloc", 13000, 0, "cuMemAlloc_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAlloc", 3020, 0, "cuMemAlloc_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAlloc", 3010, 0, "cuMemAlloc", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAlloc", 13000, PER_THREAD, "cuMemAlloc_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAlloc_v2", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
    {"cuNoSuchThing", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
    {"cuMemAllocAsync", 11010, 0, NULL, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT},
    {"cuMemAllocAsync", 11020, 0, "cuMemAllocAsync", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAllocAsync", 11020, PER_THREAD, "cuMemAllocAsync_ptsz", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemAllocAsync", 11020, CU_GET_PROC_ADDRESS_LEGACY_STREAM, "cuMemAllocAsync", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuLaunchKernel", 4000, PER_THREAD, "cuLaunchKernel", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuLaunchKernel", 7000, PER_THREAD, "cuLaunchKernel_ptsz", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemPrefetchAsync", 11000, 0, "cuMemPrefetchAsync", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemPrefetchAsync", 13000, 0, "cuMemPrefetchAsync_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuGetProcAddress", 11030, 0, "cuGetProcAddress", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuGetProcAddress", 12000, 0, "cuGetProcAddress_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuCtxCreate", 12040, 0, "cuCtxCreate_v3", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuGraphAddNode", 13000, 0, "cuGraphAddNode_v2", CU_GET_PROC_ADDRESS_SUCCESS},
    {"cuMemcpyWithAttributesAsync", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
};

static void answers_are_those_of_the_header(void)
{
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        const struct question *asked = &questions[i];
        void *found = &found;
        CUdriverProcAddressQueryResult status;
        fprintf(stderr, "%s %d %d\n", asked->base, asked->version, (int)asked->flags);
        CHECK_EQUAL(cuGetProcAddress_v2(asked->base, &found, asked->version, asked->flags, &status),
                    CUDA_SUCCESS);
        CHECK_EQUAL(status, asked->status);
        CHECK(found == (asked->symbol ? dlsym(RTLD_DEFAULT, asked->symbol) : NULL));
    }
}

static void wrong_questions_are_refused(void)
{
    void *found;
    CHECK_EQUAL(cuGetProcAddress_v2("cuInit", &found, 13010, 0, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuGetProcAddress_v2("cuInit", &found, 0, 0, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuGetProcAddress_v2("cuInit", &found, 12000, 64, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuGetProcAddress_v2(NULL, &found, 12000, 0, NULL), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuGetProcAddress_v2("cuInit", &found, 12000, 0, NULL), CUDA_SUCCESS);
}

static void the_first_version_has_no_status(void)
{
    void *found;
    CHECK_EQUAL(cuGetProcAddress("cuMemFree", &found, 11030, 0), CUDA_SUCCESS);
    CHECK(found == dlsym(RTLD_DEFAULT, "cuMemFree_v2"));
    CHECK_EQUAL(cuGetProcAddress("cuNoSuchThing", &found, 11030, 0), CUDA_ERROR_NOT_FOUND);
}

static void unwritten_functions_say_so(void)
{
    CUgraph graph = NULL, clone;
    CHECK_EQUAL(cuGraphClone(&clone, graph), CUDA_ERROR_NOT_SUPPORTED);
    CHECK(dlsym(RTLD_DEFAULT, "cuMulticastBindAddr_v2"));
}

static const struct test tests[] = {
    {"versions", "name, version and flags lead to the header's symbol", answers_are_those_of_the_header, NULL},
    {"refused", "what the driver cannot have meant is an invalid value", wrong_questions_are_refused, NULL},
    {"first", "the first version reports a missing name as an error", the_first_version_has_no_status, NULL},
    {"stubs", "functions that are not there yet are not supported", unwritten_functions_say_so, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
