/*
 * What LD_PRELOAD names stands in front of what the preload file names: with the driver
 * there, or a dlsym, be it the C library's or a wrapper's, calls and look-ups of a program
 * go past this library. Such a program begins anew before its main, with this library in
 * front. The variable keeps that, so that its children need no second beginning. Every
 * other process pays for a look into its environment by this, the library's only constructor.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "config.h"
#include "resolve.h"

#define VARIABLE "LD_PRELOAD="
#define OWN_PROGRAM "/proc/self/exe"

static const struct link_map *map_of(const void *address)
{
    Dl_info info;
    void *map = NULL;
    return dladdr1(address, &info, &map, RTLD_DL_LINKMAP) == 0 ? NULL : map;
}

/* The loader has put the address of its strings into what it has read of a library, but not
 * into what the kernel brings. */
static const char *soname_of(const struct link_map *map)
{
    uintptr_t strings = 0;
    uintptr_t name = 0;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_STRTAB)
            strings = entry->d_un.d_ptr;
        if (entry->d_tag == DT_SONAME)
            name = entry->d_un.d_val;
    }
    if (strings < map->l_addr)
        strings += map->l_addr;
    return name == 0 ? "" : (const char *)(strings + name);
}

/* By its soname, which a link or a copy of another name has too. */
static bool is_driver(const struct link_map *map)
{
    const char *soname = soname_of(map);
    return strcmp(soname, "libcuda.so.1") == 0 || strcmp(soname, "libnvidia-ml.so.1") == 0;
}

/* Preloaded libraries are searched in the order in which they were loaded, after the program itself. */
static bool is_preceded(const struct link_map *own)
{
    const struct link_map *looked_up_by = map_of(ci_first_dlsym());
    for (const struct link_map *map = own->l_prev; map != NULL && map->l_prev != NULL; map = map->l_prev)
        if (map == looked_up_by || is_driver(map))
            return true;
    return false;
}

/* The last one is what the loader goes by. Not by getenv, nor setenv later: a shell has its own,
 * which see variables that it has not read yet. */
static char **find_variable(char **environment)
{
    char **found = NULL;
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, VARIABLE, sizeof(VARIABLE) - 1) == 0)
            found = environment;
    return found;
}

/* Whether we were put in front already: if that has not helped, nothing will. */
static bool begins_with(const char *list, const char *name)
{
    size_t length = strlen(name);
    return strncmp(list, name, length) == 0 && strchr(": ", list[length]) != NULL;
}

/* By its own path where there is one, which is where the kernel takes the process' name from. */
static void run_again(char **arguments, char **environment)
{
    char path[PATH_MAX];
    ssize_t length = readlink(OWN_PROGRAM, path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    execve(path, arguments, environment);
    execve(OWN_PROGRAM, arguments, environment);
}

static void begin_anew(const char *own, char **variable, char **arguments, char **environment)
{
    size_t count = 0;
    char *longer = NULL;
    while (environment[count] != NULL)
        count++;
    char **changed = calloc(count + 1, sizeof(*changed));
    if (changed != NULL && asprintf(&longer, VARIABLE "%s:%s", own, *variable + sizeof(VARIABLE) - 1) > 0) {
        memcpy(changed, environment, count * sizeof(*changed));
        changed[variable - environment] = longer;
        run_again(arguments, changed);
    }
    free(longer);
    free(changed);
}

__attribute__((constructor)) static void come_first(int count, char **arguments, char **environment)
{
    char **variable = find_variable(environment);
    const char *list = variable == NULL ? "" : *variable + sizeof(VARIABLE) - 1;
    const struct link_map *own = *list == '\0' || count == 0 ? NULL : map_of((void *)begin_anew);
    dev_t device;
    /* no AT_BASE: the loader itself was started, and its own arguments are not to be had */
    if (own == NULL || own->l_name[0] != '/' || begins_with(list, own->l_name) || !is_preceded(own) ||
        !ci_preload_names_us(&device) || getauxval(AT_BASE) == 0)
        return;
    begin_anew(own->l_name, variable, arguments, environment);
}
