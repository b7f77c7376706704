/* In which steps drivers grow their pools: assumed to be large until seen otherwise. */
#ifndef CI_CHUNKS_H
#define CI_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

/* The most that a pool may grow by for a request of so many bytes that it has no room for. */
uint64_t ci_chunk_round(uint64_t bytes);

/* Whether that rests on what was seen. */
bool ci_chunk_is_known(uint64_t bytes);

/* A pool grew by so much for a request of so many bytes. */
void ci_chunk_learn(uint64_t bytes, uint64_t growth);

#endif
