/* The parts of the nvidia-smi look-alike. It knows only what NVML tells it,
 * through the library that the dynamic loader gave it, so that whatever
 * interposes NVML is seen here too. */
#ifndef FG_SMI_H
#define FG_SMI_H

#include <nvml.h>
#include <stdbool.h>

#define SMI_MAX_DEVICES 64

/* Prints what was asked for, about the devices that were asked for. Return an
 * exit status. */
int smi_print_table(const nvmlDevice_t *devices, unsigned count);
int smi_print_list(const nvmlDevice_t *devices, unsigned count);
int smi_query(const nvmlDevice_t *devices, unsigned count, const char *fields, const char *format);
int smi_query_processes(const nvmlDevice_t *devices, unsigned count, const char *fields,
                        const char *format);
int smi_print_topology(const nvmlDevice_t *devices, unsigned count);

/* How --format says that CSV is to be written. */
struct smi_format {
    bool header;
    bool units;
};
/* False where the text is no format. */
bool smi_parse_format(const char *text, struct smi_format *format);

#endif
