/* What the parts of the fake libnvidia-ml share. Functions of nvml.h are
 * exported; everything else is hidden and starts with fg_. */
#ifndef FG_LIBRARY_H
#define FG_LIBRARY_H

/* Without this, nvml.h renames nvmlInit to nvmlInit_v2 and hides the old. */
#define NVML_NO_UNVERSIONED_FUNC_DEFS

#pragma GCC visibility push(default)
#include <nvml.h>
#pragma GCC visibility pop

#include "../device/machine.h"
#include "../device/state.h"

#include <stdbool.h>

/* The machine between nvmlInit and nvmlShutdown, while the driver is loaded, else NULL. */
const struct fg_machine *fg_nvml_machine(void);

/* The GPU behind a handle, or NULL with *result set. */
const struct fg_gpu *fg_nvml_gpu(nvmlDevice_t handle, nvmlReturn_t *result);

/* The same, for a GPU that is no MIG instance. */
const struct fg_gpu *fg_nvml_whole(nvmlDevice_t handle, nvmlReturn_t *result);

/* Copies a text as NVML does: all of it, or an error. */
nvmlReturn_t fg_nvml_text(const char *text, char *out, unsigned length);

/* Returns from the caller unless the handle is good and all of `out` is there. */
#define FG_GPU(gpu, handle, out) FG_FOUND(fg_nvml_gpu, gpu, handle, out)

/* Of whole GPUs only. */
#define FG_WHOLE_GPU(gpu, handle, out) FG_FOUND(fg_nvml_whole, gpu, handle, out)

#define FG_FOUND(find, gpu, handle, out)                                                           \
    nvmlReturn_t fg_result;                                                                        \
    const struct fg_gpu *gpu = find(handle, &fg_result);                                           \
    if (!gpu)                                                                                      \
        return fg_result;                                                                          \
    if (!(out))                                                                                    \
        return NVML_ERROR_INVALID_ARGUMENT

#endif
