/* Open, lock, and look again whether what was locked is still what the name stands for. */
#include "worker/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static pid_t read_number(int fd)
{
    char text[32] = "";
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got <= 0 ? 0 : (pid_t)strtol(text, NULL, 10);
}

static bool is_named(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

enum err pidfile_take(const char *path, bool take_over, struct pidfile *ret, struct fault *why)
{
    pid_t replaced = 0;
    if (path[0] == '\0') { return E_OK; }
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            return fault_set(why, E_IO, "cannot write pidfile %s: %s", path, strerror(errno));
        }
        bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        bool named = is_named(fd, path);
        if (locked && named) {
            *ret = (struct pidfile){mem_strdup(path), fd, replaced};
            return E_OK;
        }
        pid_t owner = read_number(fd);
        (void)close(fd);
        if (!named) { continue; } /* its owner removed it just now */
        if (!take_over || owner <= 0) {
            enum err e =
                fault_set(why, E_EXISTS, "pidfile %s: process %d is running", path, (int)owner);
            fault_hint(why, "Another pgusher has this pidfile; -R takes over from it.");
            return e;
        }
        replaced = owner;
        if (unlink(path) != 0) {
            return fault_set(why, E_IO, "cannot replace pidfile %s: %s", path, strerror(errno));
        }
    }
}

enum err pidfile_write(const struct pidfile *p, struct fault *why)
{
    if (p->path == NULL) { return E_OK; }
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(p->fd, 0) != 0 || pwrite(p->fd, text, (size_t)len, 0) != len) {
        return fault_set(why, E_IO, "cannot write pidfile %s: %s", p->path, strerror(errno));
    }
    return E_OK;
}

void pidfile_drop(struct pidfile *p)
{
    if (p->path == NULL) { return; }
    if (is_named(p->fd, p->path) && unlink(p->path) != 0) {
        int rc = ftruncate(p->fd, 0); /* the folder is not ours any more, the open file is */
        (void)rc;
    }
    (void)close(p->fd);
    mem_free(&p->path);
}
