/* Where code and data lie: at most once in each context, whose memory they take. */
#ifndef FG_PLACE_H
#define FG_PLACE_H

#include "driver.h"

struct fg_place {
    struct fg_place *next;
    CUcontext context;
    uint64_t bytes; /* of the device */
    void *memory;   /* of data that was asked for; as large */
};

struct fg_place *fg_place_find(struct fg_place *places, CUcontext context);

/* It lies there from here on, at the cost of `bytes`, if it did not before. */
CUresult fg_place_take(struct fg_place **places, CUcontext context, uint64_t bytes);

/* Out of one context, and out of all. */
void fg_place_leave(struct fg_place **places, CUcontext context);
void fg_places_end(struct fg_place **places);

/* What programs read and write as that memory, or NULL. */
void *fg_place_memory(struct fg_place *place);

#endif
