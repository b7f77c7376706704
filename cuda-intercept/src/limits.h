/* Reads the texts that say what a share is: the limits file and the variables. */
#ifndef CI_LIMITS_H
#define CI_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CI_SHARE_ID_BYTES 64
#define CI_UUID_BYTES 16
#define CI_NO_LIMIT UINT64_MAX
#define CI_ANY_DEVICE (-1)

enum ci_core_limit { CI_CORES_NONE, CI_CORES_SOFT, CI_CORES_HARD };

struct ci_limits {
    char share[CI_SHARE_ID_BYTES];
    unsigned char uuid[CI_UUID_BYTES];
    int ordinal; /* the device by number, where no UUID is given; else CI_ANY_DEVICE */
    uint64_t memory_bytes;
    unsigned int core_percent; /* 0: no limit */
    enum ci_core_limit core_limit;
    bool has_priority;
    int priority;
};

/* "GPU-..." or "MIG-..." as NVML spells it. */
bool ci_parse_uuid(const char *text, size_t length, unsigned char uuid[CI_UUID_BYTES]);

/* Digits only, in full, without overflow. */
bool ci_parse_number(const char *text, size_t length, uint64_t *value);

/* HAMi-core's sizes: bytes with an optional suffix k, m or g, in either case. */
bool ci_parse_size(const char *text, uint64_t *bytes);

/* The limits file. False on anything malformed, repeated, missing or of
 * another layout; unknown keys are for newer readers. */
bool ci_parse_limits(const char *text, size_t length, struct ci_limits *limits);

/* "uuid=GPU-...,memory=<bytes>,cores=<percent>" */
bool ci_parse_share_variable(const char *text, struct ci_limits *limits);

#endif
