/* Where the driver is installed: everything it reads lies below one folder. */
#ifndef FG_ROOT_H
#define FG_ROOT_H

#include <stddef.h>

/* Writes <root><path> to `out`. The root is $FAKE_GPU_ROOT, else the folder
 * that holds the usr/lib/... this library was loaded from, else "". Returns
 * false where the result does not fit. */
_Bool fg_root_path(const char *path, char *out, size_t size);

/* As above, of the first of two patterns (glob(7)) that a file is named by,
 * else of the first: containers that nvidia-ctk described have a file where a
 * real driver has one that they are given. */
_Bool fg_root_find(const char *path, const char *in_containers, char *out, size_t size);

#endif
