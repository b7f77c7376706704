/* On what terms a share launches right now: its limits, and what the plugin says
 * of the GPU. */
#ifndef CI_TERMS_H
#define CI_TERMS_H

#include "limits.h"

struct ci_terms {
    unsigned int percent;    /* of the GPU's time at which launches are paid */
    uint32_t correction;     /* of their cost, in 1/65536 */
    bool is_shared;          /* others work on the GPU: what events measure holds their time */
    bool by_mean;            /* what events measure is charged as it is, whatever it holds */
};

/* `node`: the share's page, or NULL. */
struct ci_terms ci_terms_of(const struct ci_limits *limits, const unsigned char *node, uint64_t now_ns);

/* Whether the share's launches need to be held back at all. */
bool ci_terms_limit(const struct ci_limits *limits);

#endif
