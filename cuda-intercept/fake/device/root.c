#include "root.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const library_folders[] = {
    "/usr/lib/x86_64-linux-gnu/",
    "/usr/lib/aarch64-linux-gnu/",
    "/usr/lib64/",
};

/* The length of the part of `library` before the first known folder. */
static size_t root_length(const char *library)
{
    for (size_t i = 0; i < sizeof library_folders / sizeof *library_folders; i++) {
        const char *found = strstr(library, library_folders[i]);
        if (found)
            return (size_t)(found - library);
    }
    return 0;
}

_Bool fg_root_path(const char *path, char *out, size_t size)
{
    const char *root = getenv("FAKE_GPU_ROOT");
    size_t length = root ? strlen(root) : 0;
    Dl_info self;
    if (!root && dladdr((const void *)library_folders, &self) && self.dli_fname) {
        root = self.dli_fname;
        length = root_length(root);
    }
    int written = snprintf(out, size, "%.*s%s", (int)length, root ? root : "", path);
    return written > 0 && (size_t)written < size;
}

static _Bool find(const char *pattern, char *out, size_t size)
{
    char path[4096];
    glob_t found;
    if (!fg_root_path(pattern, path, sizeof path) || glob(path, 0, NULL, &found))
        return 0;
    int written = snprintf(out, size, "%s", found.gl_pathv[0]);
    globfree(&found);
    return written > 0 && (size_t)written < size;
}

_Bool fg_root_find(const char *path, const char *in_containers, char *out, size_t size)
{
    return find(path, out, size) || find(in_containers, out, size) || fg_root_path(path, out, size);
}
