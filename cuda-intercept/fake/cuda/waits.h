/* For tests: each call that makes its caller wait for the GPU is a line of the file
 * $FAKE_GPU_WAITS, by its name. */
#ifndef FG_WAITS_H
#define FG_WAITS_H

void fg_waits(const char *name);

#endif
