/* Private tables of functions, named by UUID. The fake driver has none.
 *
 * libcudart needs some of them from CUDA 11.2 on, and through one of them it
 * asks the driver to prove that it is NVIDIA's
 * (cudaErrorSoftwareValidityNotEstablished). That proof is not ours to give, so
 * a real libcudart resolves all its functions here and then refuses to start. */
#include "driver.h"

CUresult cuGetExportTable(const void **out, const CUuuid *id)
{
    if (!out || !id)
        return CUDA_ERROR_INVALID_VALUE;
    *out = NULL;
    return CUDA_ERROR_NOT_FOUND;
}
