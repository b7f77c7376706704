/*
 * The contract between the kubelet plugin (Python) and the interceptor (C):
 * every path, variable, file layout and number that both sides spell.
 * A test compares this header with the Python side, so each constant here is a
 * plain #define with a literal value.
 */
#ifndef HAMI_SHARE_ENV_H
#define HAMI_SHARE_ENV_H

#define HAMI_LIBRARY_NAME "libhami_share.so"
/* The interceptor in a container is <stem><version>.so: right beside the preload
 * file, since root can move a folder that only holds mounts, and the library with it. */
#define HAMI_CONTAINER_LIBRARY_STEM "/etc/libhami_share-"
#define HAMI_PRELOAD_PATH "/etc/ld.so.preload"
#define HAMI_SHARES_DIR "/run/hami/shares"
#define HAMI_LIMITS_FILE "limits"
#define HAMI_NODE_FILE "node"
#define HAMI_USAGE_FILE "usage"

/* HAMI_SHARE_<ID>=uuid=GPU-...,memory=<bytes>,cores=<percent> */
#define HAMI_SHARE_ENV_PREFIX "HAMI_SHARE_"

/* Set to anything: utilization is shown of the whole GPU, not of the share. */
#define HAMI_RAW_UTILIZATION_ENV "HAMI_RAW_UTILIZATION"

/* limits: ASCII "key value" lines, in any order, each key once. */
#define HAMI_LIMITS_MAX_BYTES 4096
#define HAMI_LIMITS_LAYOUT 1
#define HAMI_LIMITS_KEY_LAYOUT "layout"
#define HAMI_LIMITS_KEY_SHARE "share"
#define HAMI_LIMITS_KEY_UUID "uuid"             /* as NVML spells it */
#define HAMI_LIMITS_KEY_MEMORY "memory"         /* bytes */
#define HAMI_LIMITS_KEY_CORES "cores"           /* percent, 0: no limit */
#define HAMI_LIMITS_KEY_CORE_LIMIT "core_limit" /* hard, soft or none */
#define HAMI_LIMITS_KEY_PRIORITY "priority"     /* absent: unset */

/* node: one page, written in place by the plugin. The sequence is odd while a
 * write is under way. All integers are little-endian. */
#define HAMI_NODE_BYTES 4096
#define HAMI_NODE_MAGIC 0x3145444f4e494d48 /* "HMINODE1" */
#define HAMI_NODE_LAYOUT 1
#define HAMI_NODE_OFFSET_MAGIC 0            /* u64 */
#define HAMI_NODE_OFFSET_LAYOUT 8           /* u32 */
#define HAMI_NODE_OFFSET_SEQUENCE 16        /* u64 */
#define HAMI_NODE_OFFSET_HEARTBEAT_NS 24    /* u64, CLOCK_MONOTONIC */
#define HAMI_NODE_OFFSET_UNLEDGERED_BYTES 32 /* u64, seen by NVML beyond the ledger */
#define HAMI_NODE_OFFSET_GATE 40            /* u32, HAMI_GATE_* */
#define HAMI_NODE_OFFSET_PRIORITY 44        /* u32 */
#define HAMI_NODE_OFFSET_CORRECTION 48      /* u32, GPU time that NVML saw per charged, in 1/65536; 0: unknown */
#define HAMI_NODE_OFFSET_OTHERS 52          /* u32, HAMI_OTHERS_*: what else runs on the GPU */
#define HAMI_GATE_OPEN 0
#define HAMI_GATE_CLOSED 1       /* somebody of higher priority works: keep to the floor */
#define HAMI_GATE_FLOOR_PERCENT 5 /* of the GPU's time, so that nobody starves */
#define HAMI_CORRECTION_ONE 65536
#define HAMI_CORRECTION_MIN 16384
/* Upwards no further than a few times, unless the share's own pairs of events say as much: launches
 * measured MEASURED / TAKEN times longer than they were taken to be. */
#define HAMI_CORRECTION_USUAL_MAX 262144
#define HAMI_CORRECTION_MAX 67108864
#define HAMI_OTHERS_UNKNOWN 0
#define HAMI_OTHERS_IDLE 1
#define HAMI_OTHERS_BUSY 2
/* A heartbeat older than this loosens nothing: no idle time, no correction below one. */
#define HAMI_NODE_STALE_NS 5000000000

/* usage: a frozen 64-byte header, totals within the first page, then slots.
 * Preallocated with zeros by the plugin, initialised by the first process of
 * the share, written by processes of the share only. */
#define HAMI_USAGE_MAGIC 0x3145534155494d48 /* "HMIUASE1" in memory */
#define HAMI_USAGE_LAYOUT 1
#define HAMI_USAGE_HEADER_BYTES 64
#define HAMI_USAGE_PAGE_BYTES 4096
#define HAMI_USAGE_SLOTS_OFFSET 4096
#define HAMI_USAGE_SLOT_COUNT 1024
#define HAMI_USAGE_SLOT_BYTES 256
#define HAMI_USAGE_FILE_BYTES 266240 /* slots offset + slots */
#define HAMI_USAGE_OFFSET_MAGIC 0       /* u64 */
#define HAMI_USAGE_OFFSET_LAYOUT 8      /* u32 */
#define HAMI_USAGE_OFFSET_STATE 12      /* u32: 0 untouched, 1 being set up, 2 ready */
#define HAMI_USAGE_OFFSET_FILE_BYTES 16 /* u64 */
#define HAMI_USAGE_OFFSET_SLOT_COUNT 24 /* u32 */
#define HAMI_USAGE_OFFSET_SLOT_BYTES 28 /* u32 */
#define HAMI_USAGE_OFFSET_SLOTS 32      /* u32 */
#define HAMI_USAGE_OFFSET_TOTALS 36     /* u32 */
/* totals: u64 each, at HAMI_USAGE_HEADER_BYTES + 8 * index */
#define HAMI_TOTAL_CHARGED 0 /* bytes; the one word that the limit is held against */
#define HAMI_TOTAL_DEVICE 1  /* bytes by kind, which add up to CHARGED */
#define HAMI_TOTAL_MANAGED 2
#define HAMI_TOTAL_POOL 3
#define HAMI_TOTAL_ARRAY 4
#define HAMI_TOTAL_CONTEXT 5
#define HAMI_TOTAL_MODULE 6
#define HAMI_TOTAL_GRAPH 7
#define HAMI_TOTAL_VIRTUAL 8
#define HAMI_TOTAL_LAUNCHES 9
#define HAMI_TOTAL_GPU_NS 10
#define HAMI_TOTAL_THROTTLED_NS 11
#define HAMI_TOTAL_LAST_ACTIVITY_NS 12 /* CLOCK_MONOTONIC */
#define HAMI_TOTAL_DENIED 13           /* allocations refused */
#define HAMI_TOTAL_BUDGET_NS 14        /* i64, what the share might still spend when it last took some */
#define HAMI_TOTAL_PAID_UNTIL_NS 15    /* CLOCK_MONOTONIC up to which the share has used its time */
#define HAMI_TOTAL_MEASURED_NS 16      /* of the launches with a pair of events: what the pairs said */
#define HAMI_TOTAL_TAKEN_NS 17         /* and what the launches were taken to have cost */
#define HAMI_TOTAL_COUNT 18
/* What the share was charged over the last seconds: pairs of u64, CLOCK_MONOTONIC
 * and GPU_NS at that time; by the second's eighths, modulo the count. */
#define HAMI_USAGE_OFFSET_HISTORY 1024
#define HAMI_HISTORY_COUNT 32
#define HAMI_HISTORY_STEP_NS 125000000
/* u32 in the first page: slots from here on were never taken. */
#define HAMI_USAGE_OFFSET_HIGH_WATER 2048
/* slot: offsets within it. Its owner is alive as long as the mutex is held. */
#define HAMI_SLOT_OFFSET_STATE 0         /* u32: HAMI_SLOT_* */
#define HAMI_SLOT_OFFSET_PID 4           /* u32, in the pid namespace below */
#define HAMI_SLOT_OFFSET_PID_NAMESPACE 8 /* u64, inode */
#define HAMI_SLOT_OFFSET_START_TIME 16   /* u64, clock ticks since boot */
#define HAMI_SLOT_OFFSET_INTENT 24       /* u64, bytes on their way into the totals */
#define HAMI_SLOT_OFFSET_BYTES 32        /* u64 each, by kind: HAMI_TOTAL_DEVICE first */
#define HAMI_SLOT_OFFSET_LAUNCHES 96     /* u64 */
#define HAMI_SLOT_OFFSET_GPU_NS 104      /* u64 */
#define HAMI_SLOT_OFFSET_MUTEX 128       /* robust, process-shared, of type NORMAL */
#define HAMI_SLOT_OFFSET_LOCK 128        /* u32, its futex: the kernel takes the owner out when it dies */
#define HAMI_SLOT_LOCK_OWNER 0x3fffffff  /* the bits that name the owner; none: dead, or never taken */
#define HAMI_SLOT_FREE 0
#define HAMI_SLOT_TAKEN 1

#endif
