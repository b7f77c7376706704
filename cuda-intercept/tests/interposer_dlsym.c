/* Somebody else's preloaded wrapper that has a dlsym of its own: it looks up everything
 * past whoever else has one, but for a name that it answers itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

#include "../src/abi.h"

typedef void *(*dlsym_function)(void *, const char *);

static int wrapped(void)
{
    return 42;
}

/* No strcmp: a sanitizer looks up its own by us before it can be called. */
static bool equals(const char *left, const char *right)
{
    for (; *left == *right && *left != '\0'; left++)
        right++;
    return *left == *right;
}

CI_EXPORT void *dlsym(void *handle, const char *name)
{
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    dlsym_function real = NULL;
    for (int i = 0; real == NULL && i < 3; i++)
        real = (dlsym_function)dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    if (equals(name, "wrapped"))
        return (void *)wrapped;
    return real == NULL ? NULL : real(handle, name);
}
