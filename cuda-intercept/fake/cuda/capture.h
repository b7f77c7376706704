/* Stream capture: what is launched into a capturing stream becomes a graph. */
#ifndef FG_CAPTURE_H
#define FG_CAPTURE_H

#include "driver.h"

struct fg_capture {
    CUgraph graph;
    CUstream origin;
    CUstreamCaptureMode mode;
    bool is_invalid;
    bool has_ended;
};

/* The capture that the stream is part of, or NULL. */
struct fg_capture *fg_captured(CUstream stream);

/* Makes the stream part of a capture, as waiting for an event of it does. */
void fg_capture_join(CUstream stream, struct fg_capture *capture);

/* For calls that a stream under capture cannot take: an error that ends it. */
CUresult fg_capture_refuses(CUstream stream);

/* For calls that no thread may make while others capture, unless it said that
 * it knows what it does. */
CUresult fg_capture_forbids(void);

/* For work put into a stream: the legacy stream cannot join in. */
CUresult fg_capture_implied(CUstream stream);

/* Adds a kernel to a graph under capture. */
CUresult fg_capture_kernel(struct fg_capture *capture, uint64_t duration_ns);

#endif
