/* Names of CUresult values; the table is generated from cuda.h. */
#ifndef FG_ERRORS_H
#define FG_ERRORS_H

struct fg_error_name {
    int value;
    const char *name;
};

extern const struct fg_error_name fg_error_names[]; /* by rising value */
extern const unsigned fg_error_name_count;

#endif
