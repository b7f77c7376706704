#include "limits.h"

#include <string.h>

#include "../include/share_env.h"

struct span {
    const char *text;
    size_t length;
};

enum key { KEY_LAYOUT, KEY_SHARE, KEY_UUID, KEY_MEMORY, KEY_CORES, KEY_CORE_LIMIT, KEY_PRIORITY, KEY_COUNT };

static const char *const key_names[KEY_COUNT] = {
    HAMI_LIMITS_KEY_LAYOUT, HAMI_LIMITS_KEY_SHARE,      HAMI_LIMITS_KEY_UUID,    HAMI_LIMITS_KEY_MEMORY,
    HAMI_LIMITS_KEY_CORES,  HAMI_LIMITS_KEY_CORE_LIMIT, HAMI_LIMITS_KEY_PRIORITY};

static bool equals(struct span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool ci_parse_uuid(const char *text, size_t length, unsigned char uuid[CI_UUID_BYTES])
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (length != 4 + sizeof(shape) - 1 || (memcmp(text, "GPU-", 4) != 0 && memcmp(text, "MIG-", 4) != 0))
        return false;
    size_t digits = 0;
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        char c = text[4 + i];
        if (shape[i] == '-') {
            if (c != '-')
                return false;
            continue;
        }
        int digit = hex_digit(c);
        if (digit < 0)
            return false;
        unsigned char high = digits % 2 == 0 ? 0 : uuid[digits / 2];
        uuid[digits / 2] = (unsigned char)(high << 4 | digit);
        digits++;
    }
    return true;
}

bool ci_parse_number(const char *text, size_t length, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return length > 0;
}

bool ci_parse_size(const char *text, uint64_t *bytes)
{
    size_t length = strlen(text);
    unsigned int shift = 0;
    switch (length == 0 ? '\0' : text[length - 1] | 0x20) {
    case 'k': shift = 10; break;
    case 'm': shift = 20; break;
    case 'g': shift = 30; break;
    default: break;
    }
    uint64_t value;
    if (!ci_parse_number(text, shift == 0 ? length : length - 1, &value) || value > UINT64_MAX >> shift)
        return false;
    *bytes = value << shift;
    return true;
}

static bool parse_cores(struct span value, unsigned int *percent)
{
    uint64_t number;
    if (!ci_parse_number(value.text, value.length, &number) || number > 100)
        return false;
    *percent = (unsigned int)number;
    return true;
}

static bool parse_share(struct span value, char share[CI_SHARE_ID_BYTES])
{
    if (value.length == 0 || value.length >= CI_SHARE_ID_BYTES || memchr(value.text, '\0', value.length) != NULL)
        return false;
    memcpy(share, value.text, value.length);
    share[value.length] = '\0';
    return true;
}

static bool parse_core_limit(struct span value, enum ci_core_limit *limit)
{
    static const char *const names[] = {"none", "soft", "hard"};
    for (int i = 0; i < 3; i++)
        if (equals(value, names[i])) {
            *limit = (enum ci_core_limit)i;
            return true;
        }
    return false;
}

static bool parse_priority(struct span value, struct ci_limits *limits)
{
    bool negative = value.length > 0 && value.text[0] == '-';
    uint64_t number;
    if (!ci_parse_number(value.text + negative, value.length - negative, &number) ||
        number > (uint64_t)INT32_MAX + negative)
        return false;
    limits->has_priority = true;
    limits->priority = (int)(negative ? -(int64_t)number : (int64_t)number);
    return true;
}

static bool take(enum key key, struct span value, struct ci_limits *limits)
{
    uint64_t number;
    switch (key) {
    case KEY_LAYOUT:
        return ci_parse_number(value.text, value.length, &number) && number == HAMI_LIMITS_LAYOUT;
    case KEY_SHARE: return parse_share(value, limits->share);
    case KEY_UUID: return ci_parse_uuid(value.text, value.length, limits->uuid);
    case KEY_MEMORY: return ci_parse_number(value.text, value.length, &limits->memory_bytes);
    case KEY_CORES: return parse_cores(value, &limits->core_percent);
    case KEY_CORE_LIMIT: return parse_core_limit(value, &limits->core_limit);
    case KEY_PRIORITY: return parse_priority(value, limits);
    default: return true;
    }
}

/* Cuts `rest` at `separator`; the piece is what stood before it. */
static struct span cut(struct span *rest, char separator)
{
    const char *end = rest->length == 0 ? NULL : memchr(rest->text, separator, rest->length);
    struct span piece = {rest->text, end == NULL ? rest->length : (size_t)(end - rest->text)};
    size_t used = end == NULL ? rest->length : piece.length + 1;
    rest->text += used;
    rest->length -= used;
    return piece;
}

/* Pairs of key and value; the set of keys seen, or -1. */
static int parse_pairs(struct span rest, char between, char inside, struct ci_limits *limits)
{
    int seen = 0;
    *limits = (struct ci_limits){.ordinal = CI_ANY_DEVICE};
    while (rest.length > 0) {
        struct span value = cut(&rest, between);
        struct span name = cut(&value, inside);
        if (name.length == 0 || value.length == 0)
            return -1;
        int key = 0;
        while (key < KEY_COUNT && !equals(name, key_names[key]))
            key++;
        if (key < KEY_COUNT && (seen & 1 << key) != 0)
            return -1;
        if (!take((enum key)key, value, limits))
            return -1;
        seen |= key < KEY_COUNT ? 1 << key : 0;
    }
    if ((seen & 1 << KEY_CORE_LIMIT) == 0)
        limits->core_limit = limits->core_percent > 0 ? CI_CORES_HARD : CI_CORES_NONE;
    return seen;
}

bool ci_parse_limits(const char *text, size_t length, struct ci_limits *limits)
{
    const int needed = 1 << KEY_LAYOUT | 1 << KEY_SHARE | 1 << KEY_UUID | 1 << KEY_MEMORY;
    if (length == 0 || length > HAMI_LIMITS_MAX_BYTES || text[length - 1] != '\n')
        return false; /* a file cut short must not pass for a smaller number */
    int seen = parse_pairs((struct span){text, length}, '\n', ' ', limits);
    return seen >= 0 && (seen & needed) == needed;
}

bool ci_parse_share_variable(const char *text, struct ci_limits *limits)
{
    const int needed = 1 << KEY_UUID | 1 << KEY_MEMORY;
    int seen = parse_pairs((struct span){text, strlen(text)}, ',', '=', limits);
    return seen >= 0 && (seen & needed) == needed;
}
