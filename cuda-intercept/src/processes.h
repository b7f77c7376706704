/* The processes of a GPU that a container may see: those of its shares. */
#ifndef CI_PROCESSES_H
#define CI_PROCESSES_H

#include "abi.h"
#include "region.h"

struct ci_members {
    int count;
    struct ci_member *list; /* of malloc */
};

/* False: the lists of this GPU are shown as they are, or memory ran out. */
bool ci_members_of(struct ci_members *members, nvmlDevice_t device);

/* The member of that pid, or NULL. */
const struct ci_member *ci_members_find(const struct ci_members *members, uint32_t pid);

#endif
