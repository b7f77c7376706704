/* Code: modules, libraries and the functions in them. No code is ever run, so
 * an image is only remembered; a function is its name. */
#ifndef FG_MODULE_H
#define FG_MODULE_H

#include "place.h"

struct fg_image {
    CUcontext context; /* of a module; NULL: a library, which lies in whichever contexts use it */
    struct fg_place *code;
    struct fg_place *data;
    uint64_t data_bytes;
    bool is_eager; /* a library that lies in all contexts with all that it has */
    struct fg_image *next; /* in the list of all */
    char *text;            /* a copy of the image where it is PTX, else NULL */
    struct CUfunc_st *functions;
};

/* CUfunction and CUkernel name the same object. */
struct CUfunc_st {
    struct fg_image *image;
    struct CUfunc_st *next;
    uint64_t parameter; /* for launches of the oldest kind */
    struct fg_place *code;
    char name[];
};

/* The function comes into the context, after its image and the image's data: a
 * module's own context, or the one that is named. */
CUresult fg_function_load(CUfunction function, CUcontext context);
bool fg_function_is_loaded(CUfunction function, CUcontext context);

/* The image itself does, and its data. */
CUresult fg_image_load(struct fg_image *image, CUcontext context);
CUresult fg_data_load(struct fg_image *image, CUcontext context, struct fg_place **place);

#endif
