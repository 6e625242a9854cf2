/* Formats a line in a local buffer and writes it with one write(2), so that lines never mix. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { LOG_LINE = 2048 };

static _Atomic int log_fd = STDERR_FILENO;
static _Atomic bool log_json;
static _Atomic int log_most = LOG_LEVEL_LOG;

static const char *const level_names[] = {"FATAL", "ERROR", "WARNING", "LOG", "DEBUG"};

enum err log_open(const char *path, bool json, enum log_level most)
{
    atomic_store(&log_json, json);
    atomic_store(&log_most, (int)most);
    int fd = STDERR_FILENO;
    if (path != NULL && path[0] != '\0') {
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
        if (fd < 0) { return E_IO; }
    }
    int old = atomic_exchange(&log_fd, fd);
    /* A concurrent writer may still hold the old number: swap the file under it, never close it. */
    if (old != STDERR_FILENO && fd != STDERR_FILENO) {
        (void)dup3(fd, old, O_CLOEXEC);
        (void)close(fd);
        atomic_store(&log_fd, old);
    }
    return E_OK;
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
    time_t seconds = (time_t)(wall / US_PER_S);
    struct tm tm;
    (void)localtime_r(&seconds, &tm);
    char stamp[32], zone[16], about[256] = "";
    (void)strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    (void)strftime(zone, sizeof zone, "%Z", &tm);
    int ms = (int)(wall % US_PER_S / 1000);
    if (who->kind != 0) {
        (void)snprintf(about, sizeof about, "%s/%s@%s", who->database ? who->database : "(nodb)",
                       who->user ? who->user : "(nouser)", who->address ? who->address : "?");
        flatten(about);
    }

    char line[LOG_LINE];
    size_t at = 0;
    if (atomic_load_explicit(&log_json, memory_order_relaxed)) {
        at = put(line, 0, "{\"time\":\"%s.%03d %s\",\"pid\":%d,\"level\":\"%s\"", stamp, ms, zone,
                 (int)getpid(), level_names[level]);
        if (who->kind != 0) {
            at = put(line, at, ",\"kind\":\"%c\",\"id\":\"%p\"", who->kind, who->ptr);
            at = put_json(line, at, "who", about);
        }
        at = put_json(line, at, "message", message);
        at = put(line, at, "}");
    } else if (who->kind != 0) {
        at = put(line, 0, "%s.%03d %s [%d] %s %c-%p: %s %s", stamp, ms, zone, (int)getpid(),
                 level_names[level], who->kind, who->ptr, about, message);
    } else {
        at = put(line, 0, "%s.%03d %s [%d] %s %s", stamp, ms, zone, (int)getpid(),
                 level_names[level], message);
    }
    line[at++] = '\n';
    ssize_t wrote = write(atomic_load(&log_fd), line, at);
    (void)wrote; /* nowhere left to say so */
}
