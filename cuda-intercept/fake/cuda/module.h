/* Code: modules, libraries and the functions in them. No code is ever run, so
 * an image is only remembered; a function is its name. */
#ifndef FG_MODULE_H
#define FG_MODULE_H

#include "driver.h"

struct fg_image {
    CUcontext context; /* may be NULL for a library */
    uint64_t charged_bytes;
    uint64_t data_bytes; /* global data that is not loaded yet */
    struct fg_image *next; /* in the list of all */
    char *text;        /* a copy of the image where it is PTX, else NULL */
    struct CUfunc_st *functions;
};

/* CUfunction and CUkernel name the same object. */
struct CUfunc_st {
    struct fg_image *image;
    struct CUfunc_st *next;
    uint64_t parameter; /* for launches of the oldest kind */
    bool loaded;
    char name[];
};

/* Code of the image comes into a context's memory, where it stays as long as the image. */
CUresult fg_image_grow(struct fg_image *image, CUcontext context, uint64_t bytes);

#endif
