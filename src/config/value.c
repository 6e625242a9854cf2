/* Each reader takes the whole text or nothing: a trailing word is an error, never ignored. */
#include "config/value.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"

struct unit {
    const char *name;
    int64_t factor;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum err value_int(const char *text, int min, int max, int *ret)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!is_digit(digits[0])) { return E_CONFIG; }
    char *end = NULL;
    errno = 0;
    long got = strtol(text, &end, 0);
    if (errno != 0 || *end != '\0' || got < min || got > max) { return E_CONFIG; }
    *ret = (int)got;
    return E_OK;
}

enum err value_bool(const char *text, bool *ret)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", NULL};
    int word = 0;
    if (value_enum(text, words, &word) == E_OK) {
        *ret = word % 2 == 1;
        return E_OK;
    }
    if (value_int(text, 0, INT32_MAX, &word) == E_OK) {
        *ret = word != 0;
        return E_OK;
    }
    return E_CONFIG;
}

/* A decimal fraction and a unit. strtod alone would also take "nan", "inf" and "0x1p3". */
static enum err read_scaled(const char *text, const struct unit *units, int64_t plain, double *ret)
{
    size_t n = 0;
    unsigned dots = 0, digits = 0;
    for (; is_digit(text[n]) || text[n] == '.'; n++) {
        if (text[n] == '.') {
            dots++;
        } else {
            digits++;
        }
    }
    if (dots > 1 || digits == 0 || n > 40) { return E_CONFIG; }
    char *end = NULL;
    double number = strtod(text, &end);
    const char *unit = text + n;
    if (end != unit) { /* an exponent: seconds of PgBouncer may have one, a unit may not follow */
        if (*end != '\0' || (*unit != 'e' && *unit != 'E')) { return E_CONFIG; }
        unit = end;
    }
    while (*unit == ' ' || *unit == '\t') { unit++; }
    if (*unit == '\0') {
        *ret = number * (double)plain;
        return E_OK;
    }
    for (; units->name != NULL; units++) {
        if (strcasecmp(units->name, unit) == 0) {
            *ret = number * (double)units->factor;
            return E_OK;
        }
    }
    return E_CONFIG;
}

enum err value_time(const char *text, int64_t *ret)
{
    static const struct unit units[] = {
        {"us", 1},
        {"ms", US_PER_MS},
        {"s", US_PER_S},
        {"min", 60 * US_PER_S},
        {"h", 3600 * US_PER_S},
        {"d", 86400 * US_PER_S},
        {NULL, 0},
    };
    double us = 0;
    if (read_scaled(text, units, US_PER_S, &us) != E_OK) { return E_CONFIG; }
    /* A century: sums of a few such times stay far from the end of int64_t. */
    if (us > 36525.0 * 86400.0 * (double)US_PER_S) { return E_CONFIG; }
    *ret = (int64_t)(us + 0.5);
    return E_OK;
}

enum err value_size(const char *text, int64_t *ret)
{
    static const struct unit units[] = {
        {"b", 1},
        {"kb", INT64_C(1) << 10},
        {"mb", INT64_C(1) << 20},
        {"gb", INT64_C(1) << 30},
        {"tb", INT64_C(1) << 40},
        {NULL, 0},
    };
    double bytes = 0;
    if (read_scaled(text, units, 1, &bytes) != E_OK) { return E_CONFIG; }
    if (bytes > (double)(INT64_C(1) << 50)) { return E_CONFIG; }
    *ret = (int64_t)bytes;
    return E_OK;
}

enum err value_enum(const char *text, const char *const *texts, int *ret)
{
    for (int i = 0; texts[i] != NULL; i++) {
        if (strcasecmp(texts[i], text) == 0) {
            *ret = i;
            return E_OK;
        }
    }
    return E_CONFIG;
}
