/* How busy a GPU is shown: relative to what the share may have of it. */
#ifndef CI_UTILIZATION_H
#define CI_UTILIZATION_H

#include "ledger.h"

/* The percent of the GPU that a container's shares of it have; 0: no core limit, or
 * the program asked for figures of the whole GPU. */
unsigned int ci_utilization_whole(const struct ci_config *config, const struct ci_device *device);

/* `percent` of the GPU as a percent of `whole`. */
unsigned int ci_utilization_relative(unsigned int percent, unsigned int whole);

#endif
