#include "relaxed.h"

#include <stddef.h>

#include "process.h"
#include "resolve.h"

static bool exchange(CUstreamCaptureMode *mode)
{
    ci_pfn_cuThreadExchangeStreamCaptureMode real = CI_CALL(cuThreadExchangeStreamCaptureMode);
    return real != NULL && real(mode) == CUDA_SUCCESS;
}

struct ci_relaxed ci_relax(void)
{
    struct ci_relaxed relaxed = {.before = CU_STREAM_CAPTURE_MODE_RELAXED};
    relaxed.is_set = exchange(&relaxed.before);
    return relaxed;
}

void ci_relax_end(struct ci_relaxed relaxed)
{
    if (relaxed.is_set)
        exchange(&relaxed.before);
}

void ci_relaxed_on_share(void (*body)(const struct ci_device *device, void *argument), void *argument)
{
    struct ci_device device = ci_device_of_context(ci_process_join());
    if (device.access != CI_ACCESS_SHARED)
        return;
    struct ci_relaxed relaxed = ci_relax();
    body(&device, argument);
    ci_relax_end(relaxed);
}
