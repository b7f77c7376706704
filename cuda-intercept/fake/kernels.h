/*
 * The kernels of the test programs, in NVIDIA's intermediate language: a real GPU
 * runs them, the fake driver goes by their names.
 *
 * busy_ns(duration_ns): every block runs that long, by the GPU's own clock.
 * busy_work(duration_ns, rounds): so many rounds of arithmetic, which take no longer
 * when others had the GPU in between; the fake takes the duration.
 * count_up(address): each thread adds one to a 32-bit number.
 */
#ifndef FG_KERNELS_H
#define FG_KERNELS_H

#define TIMED_KERNEL "busy_ns"
#define WORK_KERNEL "busy_work"
#define COUNT_KERNEL "count_up"

/* For the oldest GPU that NVIDIA's assemblers of CUDA 12 and 13 take it for: every newer one runs it. */
#define KERNELS                                                                                  \
    ".version 6.3\n"                                                                             \
    ".target sm_50\n"                                                                            \
    ".address_size 64\n"                                                                         \
    ".visible .entry busy_ns(.param .u64 duration_ns)\n"                                         \
    "{\n"                                                                                        \
    "    .reg .pred %p;\n"                                                                       \
    "    .reg .u64 %duration, %start, %now;\n"                                                   \
    "    ld.param.u64 %duration, [duration_ns];\n"                                               \
    "    mov.u64 %start, %globaltimer;\n"                                                        \
    "LOOK:\n"                                                                                    \
    "    mov.u64 %now, %globaltimer;\n"                                                          \
    "    sub.u64 %now, %now, %start;\n"                                                          \
    "    setp.lt.u64 %p, %now, %duration;\n"                                                     \
    "    @%p bra LOOK;\n"                                                                        \
    "    ret;\n"                                                                                 \
    "}\n"                                                                                        \
    ".visible .entry busy_work(.param .u64 duration_ns, .param .u64 rounds)\n"                   \
    "{\n"                                                                                        \
    "    .reg .pred %p;\n"                                                                       \
    "    .reg .u64 %left, %value;\n"                                                             \
    "    ld.param.u64 %left, [rounds];\n"                                                        \
    "    add.u64 %value, %left, 1;\n"                                                            \
    "    setp.eq.u64 %p, %left, 0;\n"                                                            \
    "    @%p bra DONE;\n"                                                                        \
    "ROUND:\n"                                                                                   \
    "    mad.lo.u64 %value, %value, 6364136223846793005, 1442695040888963407;\n"                 \
    "    sub.u64 %left, %left, 1;\n"                                                             \
    "    setp.ne.u64 %p, %left, 0;\n"                                                            \
    "    @%p bra ROUND;\n"                                                                       \
    "    setp.eq.u64 %p, %value, 0;\n" /* which it never is, but no compiler knows */            \
    "    @%p trap;\n"                                                                            \
    "DONE:\n"                                                                                    \
    "    ret;\n"                                                                                 \
    "}\n"                                                                                        \
    ".visible .entry count_up(.param .u64 address)\n"                                            \
    "{\n"                                                                                        \
    "    .reg .u64 %at;\n"                                                                       \
    "    ld.param.u64 %at, [address];\n"                                                         \
    "    red.global.add.u32 [%at], 1;\n"                                                         \
    "    ret;\n"                                                                                 \
    "}\n"

#endif
