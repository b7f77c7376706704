/* The table of all driver functions, generated from the CUDA headers. */
#ifndef FG_PROCADDRESS_H
#define FG_PROCADDRESS_H

struct fg_proc {
    const char *base; /* without _v2 and _ptsz: what cuGetProcAddress is asked for */
    int version;      /* the first CUDA version that has this function */
    int per_thread;   /* 1: its default stream is per thread */
    const char *symbol;
    void (*address)(void);
};

/* By base; then legacy before per thread; then by rising version. */
extern const struct fg_proc fg_procs[];
extern const unsigned fg_proc_count;

#endif
