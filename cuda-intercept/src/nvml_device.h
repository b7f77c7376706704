/* Which GPU a call of NVML is about. */
#ifndef CI_NVML_DEVICE_H
#define CI_NVML_DEVICE_H

#include "ledger.h"

struct ci_device ci_device_of_nvml(const struct ci_config *config, nvmlDevice_t device);

#endif
