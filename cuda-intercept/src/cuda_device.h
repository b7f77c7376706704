/* Which GPU a call of the program is about. */
#ifndef CI_CUDA_DEVICE_H
#define CI_CUDA_DEVICE_H

#include "ledger.h"

/* Without a configuration nothing is known of any GPU. */
struct ci_device ci_device_of_ordinal(const struct ci_config *config, CUdevice ordinal);
struct ci_device ci_device_of_context(const struct ci_config *config);

/* NULL: none. */
CUcontext ci_current_context(void);

/* Of the current context, or of another one; -1 where the driver does not say. */
CUdevice ci_current_ordinal(void);
CUdevice ci_ordinal_of_context(CUcontext context);

/* False where the driver does not say. */
bool ci_uuid_of_ordinal(CUdevice ordinal, unsigned char uuid[CI_UUID_BYTES]);

/* A stream's context, which need not be the thread's; the current one for the default streams. */
CUcontext ci_context_of_stream(CUstream stream);

/* The GPU of that. */
struct ci_device ci_device_of_stream(const struct ci_config *config, CUstream stream);

/* The GPU that a pool which the program did not make takes memory of, when it is used on the stream. */
struct ci_device ci_device_of_pool(const struct ci_config *config, CUmemoryPool pool, CUstream stream);

#endif
