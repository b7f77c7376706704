#include "module.h"

#include "fault.h"
#include "growth.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Guards the lists of functions and of images. */
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;
static struct fg_image *images;

static bool is_text(const char *image)
{
    return isspace((unsigned char)*image) || *image == '/' || *image == '.';
}

static const char *skip_comments(const char *text)
{
    for (;; text++) {
        text += strspn(text, " \t\r\n");
        if (strncmp(text, "//", 2))
            return text;
        text += strcspn(text, "\n");
        if (!*text)
            return text;
    }
}

/* PTX begins with the language's version and says which GPU it is for. */
static bool is_complete(const char *text)
{
    return !strncmp(skip_comments(text), ".version", 8) && strstr(text, ".target");
}

static bool loads_eagerly(void)
{
    const char *mode = getenv("CUDA_MODULE_LOADING");
    return mode && !strcmp(mode, "EAGER");
}

/* What the global arrays of bytes ask for: ".global .align 16 .b8 data[1024];" */
static uint64_t data_bytes(const char *text)
{
    uint64_t bytes = 0;
    for (const char *at = text; (at = strstr(at, ".global")); at++) {
        const char *end = at + strcspn(at, ";");
        const char *bracket = at + strcspn(at, "[;");
        const char *type = strstr(at, ".b8");
        if (*bracket == '[' && type && type < end)
            bytes += strtoull(bracket + 1, NULL, 10);
    }
    return fg_round_up(bytes, FG_GRANULARITY);
}

/* A module lies in the context that was current when it was loaded, a library in those that use it. */
static CUcontext home(const struct fg_image *image, CUcontext context)
{
    return image->context ? image->context : context;
}

static CUresult load_image(struct fg_image *image, CUcontext context)
{
    return fg_place_take(&image->code, home(image, context), fg_machine()->profile.module_bytes);
}

static CUresult load_data(struct fg_image *image, CUcontext context)
{
    CUresult result = load_image(image, context);
    return result == CUDA_SUCCESS ? fg_place_take(&image->data, home(image, context), image->data_bytes) : result;
}

CUresult fg_image_load(struct fg_image *image, CUcontext context)
{
    pthread_mutex_lock(&naming);
    CUresult result = load_image(image, context);
    pthread_mutex_unlock(&naming);
    return result;
}

CUresult fg_data_load(struct fg_image *image, CUcontext context, struct fg_place **place)
{
    pthread_mutex_lock(&naming);
    CUresult result = load_data(image, context);
    *place = fg_place_find(image->data, home(image, context));
    pthread_mutex_unlock(&naming);
    return result;
}

CUresult fg_function_load(CUfunction function, CUcontext context)
{
    pthread_mutex_lock(&naming);
    CUresult result = load_data(function->image, context);
    if (result == CUDA_SUCCESS)
        result = fg_place_take(&function->code, home(function->image, context),
                               fg_machine()->profile.function_bytes);
    pthread_mutex_unlock(&naming);
    return result;
}

bool fg_function_is_loaded(CUfunction function, CUcontext context)
{
    pthread_mutex_lock(&naming);
    bool is_there = fg_place_find(function->code, home(function->image, context));
    pthread_mutex_unlock(&naming);
    return is_there;
}

static CUresult enter(void *image, CUcontext context)
{
    struct fg_place *place;
    return fg_data_load(image, context, &place);
}

CUresult fg_modules_enter(CUcontext context)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&naming);
    for (struct fg_image *image = images; image && result == CUDA_SUCCESS; image = image->next)
        if (image->is_eager)
            result = load_data(image, context);
    pthread_mutex_unlock(&naming);
    return result;
}

static void free_image(struct fg_image *image)
{
    fg_places_end(&image->code);
    fg_places_end(&image->data);
    for (struct CUfunc_st *function = image->functions, *next; function; function = next) {
        next = function->next;
        fg_places_end(&function->code);
        free(function);
    }
    free(image->text);
    free(image);
}

static void enlist(struct fg_image *image)
{
    pthread_mutex_lock(&naming);
    image->next = images;
    images = image;
    pthread_mutex_unlock(&naming);
}

static void unlist(struct fg_image *image)
{
    pthread_mutex_lock(&naming);
    struct fg_image **link = &images;
    while (*link && *link != image)
        link = &(*link)->next;
    if (*link)
        *link = image->next;
    pthread_mutex_unlock(&naming);
}

static CUresult destroy(struct fg_image *image)
{
    unlist(image);
    free_image(image);
    return fg_ready();
}

/* With its data only where that is not left for later; an eager library into all contexts. */
static CUresult load_first(struct fg_image *image, CUcontext context, bool is_module)
{
    if (image->is_eager)
        return fg_contexts_visit(enter, image);
    if (!context)
        return CUDA_SUCCESS;
    bool has_data = loads_eagerly() || (is_module && !fg_machine()->profile.lazy_module_data);
    return has_data ? enter(image, context) : fg_image_load(image, context);
}

static CUresult create(CUcontext context, const void *image, bool is_module, struct fg_image **out)
{
    if (is_text(image) && !is_complete(image))
        return CUDA_ERROR_INVALID_PTX;
    struct fg_image *created = malloc(sizeof *created); /* which gives handles out again soon */
    if (!created)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *created = (struct fg_image){.context = is_module ? context : NULL, .is_eager = !is_module && loads_eagerly()};
    if (is_text(image)) {
        created->data_bytes = data_bytes(image);
        created->text = strdup(image);
    }
    enlist(created); /* first: a context that comes while it is loaded gets it one way or the other */
    if (load_first(created, context, is_module) != CUDA_SUCCESS) {
        destroy(created);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = created;
    return CUDA_SUCCESS;
}

void fg_modules_release(CUcontext context)
{
    pthread_mutex_lock(&naming);
    for (struct fg_image *image = images; image; image = image->next) {
        fg_place_leave(&image->code, context);
        fg_place_leave(&image->data, context);
        for (struct CUfunc_st *function = image->functions; function; function = function->next)
            fg_place_leave(&function->code, context);
    }
    pthread_mutex_unlock(&naming);
}

/* A binary image is not looked into: it has whatever it is asked for. */
static bool may_define(const struct fg_image *image, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = image->text; at && (at = strstr(at, ".entry")); at++) {
        const char *found = at + 6 + strspn(at + 6, " \t\r\n");
        if (!strncmp(found, name, length) && !isalnum((unsigned char)found[length]) && found[length] != '_')
            return true;
    }
    return !image->text;
}

static struct CUfunc_st *add_function(struct fg_image *image, const char *name)
{
    size_t size = strlen(name) + 1;
    struct CUfunc_st *function = malloc(sizeof *function + size);
    if (!function)
        return NULL;
    memcpy(function->name, name, size);
    function->parameter = 0;
    function->image = image;
    function->code = NULL;
    function->next = image->functions;
    image->functions = function;
    return function;
}

static CUresult find(struct fg_image *image, const char *name, struct CUfunc_st **out)
{
    if (!out || !image || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!may_define(image, name))
        return CUDA_ERROR_NOT_FOUND;
    pthread_mutex_lock(&naming);
    struct CUfunc_st *function = image->functions;
    while (function && strcmp(function->name, name))
        function = function->next;
    if (!function)
        function = add_function(image, name);
    pthread_mutex_unlock(&naming);
    *out = function;
    return function ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* An image that nobody has asked for a function yet has one. */
static CUresult enumerate(struct fg_image *image, struct CUfunc_st **out, unsigned int *count)
{
    unsigned int found = 0;
    if (!image || (!out && *count))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&naming);
    if (!image->functions)
        add_function(image, "fake_unnamed");
    for (struct CUfunc_st *function = image->functions; function; function = function->next, found++)
        if (found < *count)
            out[found] = function;
    pthread_mutex_unlock(&naming);
    *count = found;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *out, const void *image)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!out || !image)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuModuleLoad", create(context, image, true, (struct fg_image **)out));
}

CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned int count,
                            CUjit_option *options, void **values)
{
    (void)count, (void)options, (void)values;
    return cuModuleLoadData(out, image);
}

CUresult cuModuleLoadFatBinary(CUmodule *out, const void *image)
{
    return cuModuleLoadData(out, image);
}

CUresult cuModuleLoad(CUmodule *out, const char *path)
{
    if (!path)
        return CUDA_ERROR_INVALID_VALUE;
    return access(path, R_OK) ? CUDA_ERROR_FILE_NOT_FOUND : cuModuleLoadData(out, "\x7f" "ELF");
}

CUresult cuModuleUnload(CUmodule module)
{
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    return FG_FAULTY("cuModuleUnload", destroy((struct fg_image *)module));
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule module, const char *name)
{
    return find((struct fg_image *)module, name, out);
}

CUresult cuModuleEnumerateFunctions(CUfunction *out, unsigned int count, CUmodule module)
{
    return enumerate((struct fg_image *)module, out, &count);
}

CUresult cuModuleGetFunctionCount(unsigned int *count, CUmodule module)
{
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = 0;
    return enumerate((struct fg_image *)module, NULL, count);
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = loads_eagerly() ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    return fg_ready();
}

CUresult cuLibraryLoadData(CUlibrary *out, const void *code, CUjit_option *jit, void **jit_values,
                           unsigned int jit_count, CUlibraryOption *options, void **option_values,
                           unsigned int option_count)
{
    (void)jit, (void)jit_values, (void)jit_count;
    (void)options, (void)option_values, (void)option_count;
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !code)
        return CUDA_ERROR_INVALID_VALUE;
    CUcontext context = fg_current(&result);
    return FG_FAULTY("cuLibraryLoad", create(context, code, false, (struct fg_image **)out));
}

CUresult cuLibraryLoadFromFile(CUlibrary *out, const char *path, CUjit_option *jit, void **jit_values,
                               unsigned int jit_count, CUlibraryOption *options, void **option_values,
                               unsigned int option_count)
{
    if (!path || access(path, R_OK))
        return path ? CUDA_ERROR_FILE_NOT_FOUND : CUDA_ERROR_INVALID_VALUE;
    return cuLibraryLoadData(out, "\x7f" "ELF", jit, jit_values, jit_count, options, option_values, option_count);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    if (!library)
        return CUDA_ERROR_INVALID_HANDLE;
    return FG_FAULTY("cuLibraryUnload", destroy((struct fg_image *)library));
}

CUresult cuLibraryGetKernel(CUkernel *out, CUlibrary library, const char *name)
{
    return find((struct fg_image *)library, name, (struct CUfunc_st **)out);
}

CUresult cuLibraryEnumerateKernels(CUkernel *out, unsigned int count, CUlibrary library)
{
    return enumerate((struct fg_image *)library, (struct CUfunc_st **)out, &count);
}

CUresult cuLibraryGetKernelCount(unsigned int *count, CUlibrary library)
{
    return cuModuleGetFunctionCount(count, (CUmodule)library);
}
