/* One datagram per message, on a socket of its own: they are few. */
#include "worker/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_send(const char *fmt, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || path[1] == '\0' ||
        strlen(path) >= sizeof to.sun_path) {
        return;
    }
    size_t len = strlen(path);
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') { to.sun_path[0] = '\0'; }
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t text_len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) { return; }
    ssize_t sent = sendto(fd, text, text_len, MSG_NOSIGNAL, (const struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)sent; /* the manager does not listen: there is nobody else to tell */
    (void)close(fd);
}

int64_t notify_watchdog_us(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) { return 0; }
    long long us = strtoll(usec, NULL, 10);
    return us > 0 ? (us + 1) / 2 : 0;
}
