#define _GNU_SOURCE
#include "resolve.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "config.h"

typedef void *(*dlsym_function)(void *, const char *);

/* All are caches of values that never change: racing writers write the same. */
static _Atomic(void *) real_dlsym;
static _Atomic(void *) next_dlsym;
static _Atomic(void *) real_functions[CI_SYMBOL_COUNT];
static _Atomic(void *) library_handles[2];

static const char *const library_names[2] = {"libcuda.so.1", "libnvidia-ml.so.1"};
static char missing; /* its address marks a symbol that a loaded library lacks */

static dlsym_function find_dlsym(void)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.0"};
    void *const places[] = {RTLD_NEXT, RTLD_DEFAULT}; /* the C library may stand in front of us */
    void *found = atomic_load_explicit(&real_dlsym, memory_order_acquire);
    for (size_t i = 0; found == NULL && i < 2 * sizeof(versions) / sizeof(versions[0]); i++)
        found = dlvsym(places[i % 2], "dlsym", versions[i / 2]);
    atomic_store_explicit(&real_dlsym, found, memory_order_release);
    return (dlsym_function)found;
}

/* Where a look-up goes that is not for us: to a wrapper's dlsym behind us, if there is one. */
static void *find_next_dlsym(void)
{
    void *found = atomic_load_explicit(&next_dlsym, memory_order_acquire);
    dlsym_function real = found == NULL ? find_dlsym() : NULL;
    if (real != NULL) {
        void *next = real(RTLD_NEXT, "dlsym");
        found = next == NULL ? (void *)real : next;
        atomic_store_explicit(&next_dlsym, found, memory_order_release);
    }
    return found;
}

/* By the program's handle: RTLD_DEFAULT in a library that is linked as this one is begins with itself. */
void *ci_first_dlsym(void)
{
    dlsym_function real = find_dlsym();
    void *program = dlopen(NULL, RTLD_LAZY);
    return real == NULL || program == NULL ? NULL : real(program, "dlsym");
}

static void *library_handle(enum ci_library library)
{
    void *handle = atomic_load_explicit(&library_handles[library], memory_order_acquire);
    if (handle == NULL) {
        handle = dlopen(library_names[library], RTLD_LAZY | RTLD_NOLOAD);
        if (handle != NULL)
            atomic_store_explicit(&library_handles[library], handle, memory_order_release);
    }
    return handle;
}

void *ci_real(enum ci_symbol symbol)
{
    void *found = atomic_load_explicit(&real_functions[symbol], memory_order_acquire);
    if (found == NULL) {
        void *handle = library_handle(ci_hooks[symbol].library);
        if (handle == NULL)
            return NULL;
        found = find_dlsym()(handle, ci_hooks[symbol].name);
        if (found == NULL || found == ci_hooks[symbol].hook)
            found = &missing;
        atomic_store_explicit(&real_functions[symbol], found, memory_order_release);
    }
    return found == &missing ? NULL : found;
}

void ci_adopt(enum ci_symbol symbol, void *pointer)
{
    void *expected = &missing;
    atomic_compare_exchange_strong(&real_functions[symbol], &expected, pointer);
}

void *ci_offer(enum ci_symbol symbol)
{
    const struct ci_hook *hook = &ci_hooks[symbol];
    const struct ci_config *config = ci_config_get();
    if (config == NULL)
        return hook->hook; /* out of memory: the hook itself stays closed */
    bool is_of_gate = hook->treatment == CI_TREAT_GATE || hook->treatment == CI_TREAT_FOLLOW;
    bool wanted = is_of_gate ? config->gated : config->mode != CI_MODE_UNLIMITED;
    return wanted ? hook->hook : ci_real(symbol);
}

enum ci_symbol ci_symbol_of(const void *pointer)
{
    for (int i = 0; i < CI_SYMBOL_COUNT; i++) {
        const struct ci_hook *hook = &ci_hooks[i];
        /* NVML has nothing like cuGetProcAddress, and may have to be searched for each time */
        if (hook->library == CI_LIBRARY_CUDA && hook->hook != NULL && (pointer == hook->hook || pointer == ci_real(i)))
            return i;
    }
    return CI_SYMBOL_COUNT;
}

static enum ci_symbol find_hook(const char *name)
{
    if (!(name[0] == 'c' && name[1] == 'u') && !(name[0] == 'n' && name[1] == 'v'))
        return CI_SYMBOL_COUNT;
    int low = 0;
    int high = CI_SYMBOL_COUNT;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, ci_hooks[middle].name);
        if (order == 0)
            return ci_hooks[middle].hook == NULL ? CI_SYMBOL_COUNT : (enum ci_symbol)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return CI_SYMBOL_COUNT;
}

/* A second copy of the driver under another name; any other object that defines
 * the name is somebody's wrapper, which will ask us for the driver itself. */
static bool is_driver_library(const void *pointer)
{
    Dl_info info;
    if (dladdr(pointer, &info) == 0 || info.dli_fname == NULL)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash == NULL ? info.dli_fname : slash + 1;
    return strncmp(file, "libcuda.so", 10) == 0 || strncmp(file, "libnvidia-ml.so", 15) == 0;
}

/* A driver loaded outside our name space (dlmopen): no handle of ours sees it, and
 * a hook needs more of the driver than the function that it stands for. */
static void adopt_library(void *handle, const void *found, enum ci_library library)
{
    Dl_info info;
    Lmid_t space;
    void *expected = NULL;
    if (dlinfo(handle, RTLD_DI_LMID, &space) != 0 || dladdr(found, &info) == 0)
        return;
    void *own = dlmopen(space, info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (own != NULL && !atomic_compare_exchange_strong(&library_handles[library], &expected, own))
        dlclose(own);
}

/* Somebody else's function is looked up once more, and a name that nobody but us has is
 * looked up where it is not: what dlerror says is then as without us, not of our own look-ups. */
static struct ci_route route_for_handle(void *handle, enum ci_symbol symbol, dlsym_function next)
{
    const char *name = ci_hooks[symbol].name;
    void *found = next(handle, name);
    if (found == NULL)
        return (struct ci_route){NULL, NULL};
    if (ci_real(symbol) == NULL && found != ci_hooks[symbol].hook && is_driver_library(found))
        adopt_library(handle, found, ci_hooks[symbol].library);
    if (found != ci_hooks[symbol].hook && found != ci_real(symbol) && !is_driver_library(found))
        return (struct ci_route){find_next_dlsym(), NULL};
    return (struct ci_route){NULL, ci_real(symbol) == NULL ? next(RTLD_NEXT, name) : ci_offer(symbol)};
}

/* In the C library itself, as bindings of other languages do. A wrapper with a dlsym of its own
 * may look for the one behind it, and would come back to itself by ours. */
static bool asks_for_dlsym(void *handle, const char *name, dlsym_function next)
{
    /* a sanitizer that looks up its strcmp cannot have it called yet */
    bool by_name = name != NULL && name[0] == 'd' && name[1] == 'l' && name[2] == 's' && strcmp(name, "dlsym") == 0;
    return by_name && handle != RTLD_NEXT && handle != RTLD_DEFAULT && find_next_dlsym() == (void *)next &&
           next(handle, name) == (void *)next;
}

struct ci_route ci_dlsym_route(void *handle, const char *name)
{
    dlsym_function next = find_dlsym();
    struct ci_route onward = {find_next_dlsym(), NULL};
    struct ci_route answer = {NULL, NULL};
    if (next == NULL)
        return answer;
    enum ci_symbol symbol = name == NULL ? CI_SYMBOL_COUNT : find_hook(name);
    if (symbol == CI_SYMBOL_COUNT && asks_for_dlsym(handle, name, next))
        answer.answer = (void *)dlsym;
    if (symbol == CI_SYMBOL_COUNT)
        return answer.answer == NULL ? onward : answer;
    if (handle == RTLD_NEXT || handle == RTLD_DEFAULT) {
        if (ci_real(symbol) != NULL)
            answer.answer = ci_offer(symbol);
        else if (handle == RTLD_NEXT)
            return onward;
        else /* without a driver our own export must not look like one */
            answer.answer = next(RTLD_NEXT, name);
        return answer;
    }
    return route_for_handle(handle, symbol, next);
}
