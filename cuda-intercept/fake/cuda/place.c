#include "place.h"

#include <stdlib.h>
#include <sys/mman.h>

struct fg_place *fg_place_find(struct fg_place *places, CUcontext context)
{
    while (places && places->context != context)
        places = places->next;
    return places;
}

CUresult fg_place_take(struct fg_place **places, CUcontext context, uint64_t bytes)
{
    if (fg_place_find(*places, context))
        return CUDA_SUCCESS;
    struct fg_place *place = calloc(1, sizeof *place);
    if (!place || !fg_occupy(context->gpu, bytes)) {
        free(place);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *place = (struct fg_place){.next = *places, .context = context, .bytes = bytes};
    *places = place;
    return CUDA_SUCCESS;
}

static void end(struct fg_place **link)
{
    struct fg_place *place = *link;
    *link = place->next;
    fg_vacate(place->context->gpu, place->bytes);
    if (place->memory)
        munmap(place->memory, place->bytes);
    free(place);
}

void fg_place_leave(struct fg_place **places, CUcontext context)
{
    while (*places && (*places)->context != context)
        places = &(*places)->next;
    if (*places)
        end(places);
}

void fg_places_end(struct fg_place **places)
{
    while (*places)
        end(places);
}

void *fg_place_memory(struct fg_place *place)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (!place->memory && place->bytes) {
        void *memory = mmap(NULL, place->bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        place->memory = memory == MAP_FAILED ? NULL : memory;
    }
    return place->memory;
}
