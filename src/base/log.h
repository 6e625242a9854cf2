/*
 * One event, one line, to stderr or a file, and to syslog. In text format the line is PgBouncer's:
 *   YYYY-MM-DD HH:MM:SS.mmm TZ [pid] LEVEL C-0xptr: db/user@host:port message
 * In JSON the same fields are keys. Parameter values and passwords never appear. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum log_level {
    LOG_LEVEL_FATAL,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_LOG,
    LOG_LEVEL_DEBUG
};

/* Who an event is about; kind 'C' client, 'S' server, 0 nobody. Borrowed for the call. */
struct log_who {
    char kind;
    const void *ptr;
    const char *database, *user;
    const char *address; /* an IP address or a name; for a unix socket its folder, or "unix" */
    int port;            /* 0: not known */
    int peer_pid;        /* of the process at the other end of a unix socket; 0: not known */
};

/* What the operator may not want to read of; all of it is told until log_open() says otherwise. */
enum log_topic { LOG_CONNECTIONS, LOG_DISCONNECTIONS, LOG_POOLER_ERRORS, LOG_TOPICS };

struct log_options {
    const char *path; /* NULL or empty: standard error */
    bool quiet;       /* never standard error */
    bool json;        /* one JSON object a line */
    enum log_level most;
    const char *syslog_ident; /* NULL: no syslog; copied */
    int syslog_facility;      /* of log_facility() */
    bool silent[LOG_TOPICS];
};
/*
 * From now on. Opens the file on each call, so that a rotated one is let go of (SIGHUP). One thread
 * at a time. Errors: E_IO with errno, and all stays as it was.
 */
MUST_USE enum err log_open(const struct log_options *o);
/* syslog's number of a facility: daemon, user, auth, authpriv, local0 ... local7. */
MUST_USE enum err log_facility(const char *name, int *ret);
bool log_tells(enum log_topic topic);
void log_line(enum log_level level, const struct log_who *who, const char *fmt, ...)
    PRINTF(3, 4) COLD;

#define log_error(who, ...) log_line(LOG_LEVEL_ERROR, (who), __VA_ARGS__)
#define log_warn(who, ...)  log_line(LOG_LEVEL_WARNING, (who), __VA_ARGS__)
#define log_info(who, ...)  log_line(LOG_LEVEL_LOG, (who), __VA_ARGS__)
bool log_debugging(void);
#define log_debug(who, ...)                                                                        \
    do {                                                                                           \
        if (log_debugging()) { log_line(LOG_LEVEL_DEBUG, (who), __VA_ARGS__); }                    \
    } while (0)
