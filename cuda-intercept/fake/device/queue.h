/* The queues of the simulated device, as the driver uses them: every call takes
 * the GPU's lock and brings it to the present. */
#ifndef FG_QUEUE_H
#define FG_QUEUE_H

#include "schedule.h"

/* Makes a channel of this process; FG_NOBODY: there are too many. */
uint32_t fg_queue_begin(unsigned gpu);
void fg_queue_end(uint32_t channel);

struct fg_mark fg_queue_launch(uint32_t channel, uint64_t duration_ns);

/* Makes an event; its number is the mark's entries less one. `reused_ns`: when
 * the event passed whose place it takes. Waits while there is no room. */
struct fg_mark fg_queue_event(uint32_t channel, uint64_t *reused_ns);

/* Makes a gate, which holds up what comes after it until it is opened. */
struct fg_mark fg_queue_gate(uint32_t channel);
void fg_queue_open(uint32_t channel, struct fg_mark gate);

bool fg_queue_reached(uint32_t channel, struct fg_mark mark);
void fg_queue_wait(uint32_t channel, struct fg_mark mark);

/* When an event passed; 0: not yet. Only for one of the last FG_ENTRIES. */
uint64_t fg_queue_stamp(uint32_t channel, struct fg_mark event);

/* Brings a GPU to the present, where this process may, and shows it. It stays as it is until it is released. */
const struct fg_schedule *fg_queue_hold(unsigned gpu);
void fg_queue_release(unsigned gpu);

/* What the samples of the last second show. */
unsigned fg_queue_busy_percent(unsigned gpu);

#endif
