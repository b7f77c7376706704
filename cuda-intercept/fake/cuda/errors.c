#include "errors.h"

#include "driver.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

#define LONGEST_TEXT 80

static const char *find_name(CUresult error)
{
    for (unsigned i = 0; i < fg_error_name_count; i++)
        if (fg_error_names[i].value == (int)error)
            return fg_error_names[i].name;
    return NULL;
}

/* "CUDA_ERROR_OUT_OF_MEMORY" reads "out of memory". */
static void write_text(const char *name, char *text)
{
    const char *from = name;
    if (!strncmp(from, "CUDA_ERROR_", 11))
        from += 11;
    unsigned length = 0;
    for (; *from && length < LONGEST_TEXT - 1; from++)
        text[length++] = *from == '_' ? ' ' : (char)tolower((unsigned char)*from);
    text[length] = 0;
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    *name = find_name(error);
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    /* Texts live for ever, one per error, written once under the lock. */
    static char texts[1000][LONGEST_TEXT];
    static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
    const char *name = text ? find_name(error) : NULL;
    if (!name || error >= 1000)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&writing);
    if (!texts[error][0])
        write_text(name, texts[error]);
    pthread_mutex_unlock(&writing);
    *text = texts[error];
    return CUDA_SUCCESS;
}
