#include "faults.h"

#include "../device/root.h"

#include <stdio.h>
#include <string.h>

#define FAULTS_PATH "/etc/fake-gpu/faults"

static const char *const names[] = {"lost", "fails", "ecc", "recovery", "xid", "unloaded"};

struct line {
    enum fg_fault kind;
    unsigned minor;
    unsigned long value;
};

static bool parse(const char *text, struct line *line)
{
    char name[16];
    line->minor = 0;
    line->value = 0;
    int fields = sscanf(text, " %15[a-z] %u %lu", name, &line->minor, &line->value);
    if (fields < 1)
        return false;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        line->kind = (enum fg_fault)i;
        if (!strcmp(name, names[i]))
            return fields > 1 || line->kind == FG_FAULT_UNLOADED;
    }
    return false;
}

static FILE *open_faults(void)
{
    char path[512];
    return fg_root_path(FAULTS_PATH, path, sizeof path) ? fopen(path, "re") : NULL;
}

bool fg_fault_of(enum fg_fault kind, unsigned minor, unsigned long *value)
{
    FILE *file = open_faults();
    bool found = false;
    char text[128];
    struct line line;
    while (file && fgets(text, sizeof text, file)) {
        if (parse(text, &line) && line.kind == kind && line.minor == minor) {
            *value = line.value;
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

bool fg_fault_unloaded(void)
{
    unsigned long ignored;
    return fg_fault_of(FG_FAULT_UNLOADED, 0, &ignored);
}

/* Counts XID lines up to `stop`, whose line is left in *line. */
static unsigned count(unsigned stop, struct line *line)
{
    FILE *file = open_faults();
    unsigned seen = 0;
    char text[128];
    while (file && seen < stop && fgets(text, sizeof text, file))
        seen += parse(text, line) && line->kind == FG_FAULT_XID;
    if (file)
        fclose(file);
    return seen;
}

bool fg_fault_event(unsigned number, unsigned *minor, unsigned long *xid)
{
    struct line line;
    if (count(number + 1, &line) <= number)
        return false;
    *minor = line.minor;
    *xid = line.value;
    return true;
}

unsigned fg_fault_events(void)
{
    struct line line;
    return count(~0u, &line);
}
