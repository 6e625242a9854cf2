/* Filling of struct fault. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err fault_set(struct fault *why, enum err code, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        why->code = code;
        why->sqlstate[0] = '\0';
        why->hint[0] = '\0';
        why->routine = NULL;
        (void)vsnprintf(why->text, sizeof why->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

enum err fault_state(struct fault *why, enum err code, const char *sqlstate, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        why->code = code;
        (void)snprintf(why->sqlstate, sizeof why->sqlstate, "%s", sqlstate);
        why->hint[0] = '\0';
        why->routine = NULL;
        (void)vsnprintf(why->text, sizeof why->text, fmt, ap);
        va_end(ap);
    }
    return code;
}

void fault_hint(struct fault *why, const char *fmt, ...)
{
    if (why != NULL) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(why->hint, sizeof why->hint, fmt, ap);
        va_end(ap);
    }
}
