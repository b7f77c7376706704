/* How symbols are found under the interceptor. Built against an old and a new
 * glibc, whose dlsym have different versions; the program names its question. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*init_function)(unsigned int);
typedef int (*get_function)(int *, int);
typedef int (*retain_function)(void **, int);
typedef int (*current_function)(void *);
typedef void *(*lookup_function)(void *, const char *);
typedef int (*alloc_function)(unsigned long long *, size_t);

static int say(const char *what, int good)
{
    printf("%s: %s\n", what, good ? "yes" : "no");
    return good ? 0 : 1;
}

/* 0, or the driver's error of an allocation of so many MiB. */
static int allocate(void *handle, size_t mebibytes)
{
    int device;
    void *context;
    unsigned long long address;
    int error = ((init_function)dlsym(handle, "cuInit"))(0);
    error = error ? error : ((get_function)dlsym(handle, "cuDeviceGet"))(&device, 0);
    error = error ? error : ((retain_function)dlsym(handle, "cuDevicePrimaryCtxRetain"))(&context, device);
    error = error ? error : ((current_function)dlsym(handle, "cuCtxSetCurrent"))(context);
    return error ? error : ((alloc_function)dlsym(handle, "cuMemAlloc_v2"))(&address, mebibytes << 20);
}

/* That a name is not there, in a driver or in none, is told each time in the way of the loader. */
static int look_for_missing(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    void *everything = dlopen(NULL, RTLD_NOW);
    int bad = say("a driver", driver != NULL);
    for (int i = 0; i < 2; i++)
        bad |= say("missing", dlsym(everything, name) == NULL && dlerror() != NULL);
    return bad;
}

/* A wrapper's function is found without an error, by a program that goes by what dlerror says. */
static int look_into_wrapper(const char *path)
{
    void *wrapper = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    dlerror();
    int bad = say("the wrapper's", wrapper != NULL && dlsym(wrapper, "cuMemAlloc_v2") != NULL);
    return bad | say("no error", dlerror() == NULL);
}

static int look_without_driver(void)
{
    int bad = say("no cuInit without a driver", dlsym(RTLD_DEFAULT, "cuInit") == NULL && dlerror() != NULL);
    bad |= say("nor by the program's handle", dlsym(dlopen(NULL, RTLD_NOW), "cuInit") == NULL && dlerror() != NULL);
    bad |= say("next malloc", dlsym(RTLD_NEXT, "malloc") != NULL);
    bad |= say("default getpid", ((pid_t(*)(void))dlsym(RTLD_DEFAULT, "getpid"))() == getpid());
    bad |= say("names like ours", dlsym(RTLD_DEFAULT, "curl_easy_init") == NULL);
    return bad;
}

/* As bindings of other languages do, which look up all that they call. */
static lookup_function borrow_dlsym(void)
{
    void *library = dlopen("libdl.so.2", RTLD_NOW | RTLD_LOCAL);
    return (lookup_function)dlsym(library, "dlsym");
}

static int look_with_driver(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    void *first = driver == NULL ? NULL : dlsym(driver, "cuMemAlloc_v2");
    int bad = say("found", first != NULL);
    bad |= say("found again", dlsym(driver, "cuMemAlloc_v2") == first);
    bad |= say("default is the same", dlsym(RTLD_DEFAULT, "cuMemAlloc_v2") == first);
    bad |= say("the same by a dlsym that was looked up", borrow_dlsym()(driver, "cuMemAlloc_v2") == first);
    bad |= say("next is there", dlsym(RTLD_NEXT, "cuMemAlloc_v2") != NULL);
    bad |= say("next is there again", dlsym(RTLD_NEXT, "cuMemAlloc_v2") != NULL);
    bad |= say("a name that is not there", dlsym(driver, "cuMemAllocate") == NULL && dlerror() != NULL);
    bad |= say("a name that is not hooked", dlsym(driver, "cuDeviceGetCount") != NULL);
    return bad;
}

/* Prints whether a launch is handed out as the driver's own function. */
static int look_at_launch(void)
{
    Dl_info info;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void *found = driver == NULL ? NULL : dlsym(driver, "cuLaunchKernel");
    if (found == NULL || dladdr(found, &info) == 0)
        return 1;
    puts(strstr(info.dli_fname, "libcuda") != NULL ? "driver" : "hook");
    return 0;
}

/* A child of a process that uses the GPU joins for itself: parent and child
 * hold their bytes each, and the child's come back when it is gone. */
static int allocate_in_child(void *driver, size_t mebibytes)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(allocate(driver, mebibytes));
    waitpid(child, &status, 0);
    int own = allocate(driver, mebibytes);
    printf("child %d parent %d\n", WEXITSTATUS(status), own);
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    size_t mebibytes = count > 2 ? strtoul(arguments[2], NULL, 10) : 0;
    if (strcmp(what, "bare") == 0)
        return look_without_driver();
    if (strcmp(what, "driver") == 0)
        return look_with_driver();
    if (strcmp(what, "missing") == 0 && count > 2)
        return look_for_missing(arguments[2]);
    if (strcmp(what, "wrapper") == 0 && count > 2)
        return look_into_wrapper(arguments[2]);
    if (strcmp(what, "wrapped") == 0)
        return say("wrapped", dlsym(RTLD_DEFAULT, "wrapped") != NULL);
    if (strcmp(what, "launch") == 0)
        return look_at_launch();
    void *driver = strcmp(what, "space") == 0 ? dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW | RTLD_LOCAL)
                                              : dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver == NULL)
        return 1;
    if (strcmp(what, "fork") == 0)
        return allocate_in_child(driver, mebibytes);
    printf("%d\n", allocate(driver, mebibytes));
    return 0;
}
