/* Host functions, and waiting for another context: one thread of the driver
 * does both, in the order of the calls, and opens the gate that holds the
 * stream up meanwhile. Real drivers have such a thread too. */
#include "capture.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct job {
    struct job *next;
    uint32_t channel;
    struct fg_mark mark;
    CUhostFn function; /* may be NULL */
    void *data;
    uint32_t gate_channel;
    struct fg_mark gate;
};

/* Guarded by the lock. */
static struct job *first;
static struct job **last = &first;
static bool has_thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t added = PTHREAD_COND_INITIALIZER;

static struct job *take_job(void)
{
    pthread_mutex_lock(&lock);
    while (!first)
        pthread_cond_wait(&added, &lock);
    struct job *job = first;
    first = job->next;
    if (!first)
        last = &first;
    pthread_mutex_unlock(&lock);
    return job;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        struct job *job = take_job();
        fg_queue_wait(job->channel, job->mark);
        if (job->function)
            job->function(job->data);
        fg_queue_open(job->gate_channel, job->gate);
        free(job);
    }
    return NULL;
}

static bool start_thread(void)
{
    pthread_t thread;
    sigset_t all, before;
    if (has_thread)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    has_thread = pthread_create(&thread, NULL, serve, NULL) == 0 && pthread_detach(thread) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return has_thread;
}

CUresult fg_host_call(uint32_t channel, struct fg_mark mark, CUhostFn function, void *data,
                      uint32_t gate_channel, struct fg_mark gate)
{
    struct job *job = malloc(sizeof *job);
    if (!job)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *job = (struct job){NULL, channel, mark, function, data, gate_channel, gate};
    pthread_mutex_lock(&lock);
    bool started = start_thread();
    if (started) {
        *last = job;
        last = &job->next;
        pthread_cond_signal(&added);
    }
    pthread_mutex_unlock(&lock);
    return started ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* A host function runs when the stream has come so far. */
CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void *data)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    if (fg_captured(stream))
        return fg_capture_refuses(stream); /* a real driver would capture it */
    uint32_t channel = stream->context->channel;
    struct fg_mark gate = fg_queue_gate(channel);
    fg_stream_extend(stream, gate);
    struct fg_mark before = {gate.work_ns, gate.entries - 1};
    return fg_host_call(channel, before, function, data, channel, gate);
}

CUresult cuLaunchHostFunc_ptsz(CUstream handle, CUhostFn function, void *data)
{
    return cuLaunchHostFunc(fg_per_thread(handle), function, data);
}
