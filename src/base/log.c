/* Formats a line in a local buffer and writes it with one write(2), so that lines never mix. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LOG_LINE = 2048 };

static _Atomic int log_fd = STDERR_FILENO; /* -1: nowhere */
static _Atomic bool log_json;
static _Atomic bool log_to_syslog;
static _Atomic int log_most = LOG_LEVEL_LOG;
static _Atomic bool log_silent[LOG_TOPICS];

static const char *const level_names[] = {"FATAL", "ERROR", "WARNING", "LOG", "DEBUG"};

static void open_syslog(const char *ident, int facility)
{
    static char *in_use; /* syslog() keeps the pointer */
    if (ident == NULL) {
        atomic_store(&log_to_syslog, false);
        return;
    }
    char *old = in_use;
    in_use = mem_strdup(ident);
    openlog(in_use, LOG_PID | LOG_NDELAY, facility);
    mem_free(&old); /* openlog() has taken the lock that syslog() holds while it looks at it */
    atomic_store(&log_to_syslog, true);
}

enum err log_open(const struct log_options *o)
{
    int fd = o->quiet ? -1 : STDERR_FILENO;
    if (o->path != NULL && o->path[0] != '\0') {
        fd = open(o->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0) { return E_IO; }
    }
    atomic_store(&log_json, o->json);
    atomic_store(&log_most, (int)o->most);
    for (int i = 0; i < LOG_TOPICS; i++) { atomic_store(&log_silent[i], o->silent[i]); }
    open_syslog(o->syslog_ident, o->syslog_facility);
    int old = atomic_exchange(&log_fd, fd);
    /* A concurrent writer may still hold the old number: swap the file under it, never close it. */
    if (old > STDERR_FILENO && fd > STDERR_FILENO) {
        (void)dup3(fd, old, O_CLOEXEC);
        (void)close(fd);
        atomic_store(&log_fd, old);
    }
    return E_OK;
}

enum err log_facility(const char *name, int *ret)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {
        {"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"daemon", LOG_DAEMON},
        {"user", LOG_USER},     {"local0", LOG_LOCAL0},     {"local1", LOG_LOCAL1},
        {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},     {"local4", LOG_LOCAL4},
        {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},     {"local7", LOG_LOCAL7},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(known[i].name, name) == 0) {
            *ret = known[i].number;
            return E_OK;
        }
    }
    return E_NOTFOUND;
}

bool log_tells(enum log_topic topic)
{
    return !atomic_load_explicit(&log_silent[topic], memory_order_relaxed);
}

bool log_debugging(void)
{
    return atomic_load_explicit(&log_most, memory_order_relaxed) >= LOG_LEVEL_DEBUG;
}

static size_t put(char *line, size_t at, const char *fmt, ...) PRINTF(3, 4);
static size_t put(char *line, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + at, LOG_LINE - at, fmt, ap);
    va_end(ap);
    size_t end = at + (size_t)(n < 0 ? 0 : n);
    return end < LOG_LINE - 4 ? end : LOG_LINE - 4;
}

static size_t put_json(char *line, size_t at, const char *key, const char *value)
{
    at = put(line, at, ",\"%s\":\"", key);
    for (const char *p = value; *p != '\0' && at < LOG_LINE - 16; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            at = put(line, at, "\\%c", c);
        } else if (c < 0x20) {
            at = put(line, at, "\\u%04x", c);
        } else {
            line[at++] = (char)c;
        }
    }
    return put(line, at, "\"");
}

/* A line break from outside must not forge a second line. */
static void flatten(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20) { *text = ' '; }
    }
}

/* The time, the process and the level are the system log's own. */
static void to_syslog(enum log_level level, const struct log_who *who, const char *about,
                      const char *message)
{
    static const int priorities[] = {LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    if (who->kind != 0) {
        syslog(priorities[level], "%c-%p: %s %s", who->kind, who->ptr, about, message);
    } else {
        syslog(priorities[level], "%s", message);
    }
}

/* db/user@10.0.0.1:5432, @[::1]:5432, @unix(4711):6432, as PgBouncer does */
static void tell_who(const struct log_who *who, char *to, size_t room)
{
    const char *address = who->address == NULL ? "?" : who->address;
    bool local = address[0] == '/' || strcmp(address, "unix") == 0;
    bool v6 = !local && strchr(address, ':') != NULL;
    char pid[16] = "", port[16] = "";
    if (local && who->peer_pid > 0) { (void)snprintf(pid, sizeof pid, "(%d)", who->peer_pid); }
    if (who->port > 0) { (void)snprintf(port, sizeof port, ":%d", who->port); }
    (void)snprintf(to, room, "%s/%s@%s%s%s%s%s", who->database ? who->database : "(nodb)",
                   who->user ? who->user : "(nouser)", v6 ? "[" : "", local ? "unix" : address,
                   v6 ? "]" : "", pid, port);
}

static _Atomic int own_pid; /* 0: not asked yet */

static void forget_pid(void)
{
    atomic_store(&own_pid, 0);
}

static int pid_of_us(void)
{
    static _Atomic bool watched;
    int pid = atomic_load_explicit(&own_pid, memory_order_relaxed);
    if (pid != 0) { return pid; }
    if (!atomic_exchange(&watched, true)) { (void)pthread_atfork(NULL, NULL, forget_pid); }
    pid = (int)getpid();
    atomic_store(&own_pid, pid);
    return pid;
}

/* As text, written once a second. */
struct stamp {
    time_t second;
    char date[32], zone[16];
};

static const struct stamp *stamp_of(time_t second)
{
    static _Thread_local struct stamp last;
    if (last.second != second) {
        struct tm tm;
        (void)localtime_r(&second, &tm);
        (void)strftime(last.date, sizeof last.date, "%Y-%m-%d %H:%M:%S", &tm);
        (void)strftime(last.zone, sizeof last.zone, "%Z", &tm);
        last.second = second;
    }
    return &last;
}

void log_line(enum log_level level, const struct log_who *who, const char *fmt, ...)
{
    if ((int)level > atomic_load_explicit(&log_most, memory_order_relaxed)) { return; }
    static const struct log_who nobody = {0};
    if (who == NULL) { who = &nobody; }

    char message[LOG_LINE / 2];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    flatten(message);

    int64_t wall = clock_wall_us();
    const struct stamp *stamp = stamp_of((time_t)(wall / US_PER_S));
    char about[256] = "";
    int ms = (int)(wall % US_PER_S / 1000);
    if (who->kind != 0) {
        tell_who(who, about, sizeof about);
        flatten(about);
    }

    if (atomic_load_explicit(&log_to_syslog, memory_order_relaxed)) {
        to_syslog(level, who, about, message);
    }
    int fd = atomic_load(&log_fd);
    if (fd < 0) { return; }
    char line[LOG_LINE];
    size_t at = 0;
    if (atomic_load_explicit(&log_json, memory_order_relaxed)) {
        at = put(line, 0, "{\"time\":\"%s.%03d %s\",\"pid\":%d,\"level\":\"%s\"", stamp->date, ms,
                 stamp->zone, (int)getpid(), level_names[level]);
        if (who->kind != 0) {
            at = put(line, at, ",\"kind\":\"%c\",\"id\":\"%p\"", who->kind, who->ptr);
            at = put_json(line, at, "who", about);
        }
        at = put_json(line, at, "message", message);
        at = put(line, at, "}");
    } else if (who->kind != 0) {
        at = put(line, 0, "%s.%03d %s [%d] %s %c-%p: %s %s", stamp->date, ms, stamp->zone,
                 pid_of_us(), level_names[level], who->kind, who->ptr, about, message);
    } else {
        at = put(line, 0, "%s.%03d %s [%d] %s %s", stamp->date, ms, stamp->zone, pid_of_us(),
                 level_names[level], message);
    }
    line[at++] = '\n';
    ssize_t wrote = write(fd, line, at);
    (void)wrote; /* nowhere left to say so */
}
