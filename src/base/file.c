/* Reading with the size known beforehand. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err changed(const char *path, struct fault *why)
{
    return fault_set(why, E_IO, "%s: the file changed while it was read", path);
}

static enum err read_all(int fd, const char *path, size_t room, struct buf *ret, struct fault *why)
{
    size_t before = buf_len(ret);
    for (;;) {
        ssize_t got = read(fd, ret->data + ret->end, room - (buf_len(ret) - before));
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) { return fault_set(why, E_IO, "%s: %s", path, strerrordesc_np(errno)); }
        if (got == 0) { return E_OK; }
        ret->end += (size_t)got;
        if (buf_len(ret) - before == room) { return changed(path, why); }
    }
}

/* Half of an old and half of a new file may look like a whole one. */
static enum err check_unchanged(int fd, const char *path, const struct stat *before, size_t got,
                                struct fault *why)
{
    struct stat now;
    if (fstat(fd, &now) != 0) {
        return fault_set(why, E_IO, "%s: %s", path, strerrordesc_np(errno));
    }
    return got == (size_t)before->st_size && now.st_size == before->st_size &&
                   now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
                   now.st_mtim.tv_nsec == before->st_mtim.tv_nsec
               ? E_OK
               : changed(path, why);
}

enum err file_read(const char *path, size_t most, struct buf *ret, struct fault *why)
{
    struct stat st;
    enum err e = E_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe in its place blocks nobody */
    if (fd < 0 || fstat(fd, &st) != 0) {
        e = fault_set(why, E_IO, "%s: %s", path, strerrordesc_np(errno));
    } else if (!S_ISREG(st.st_mode) || (size_t)st.st_size > most) {
        e = fault_set(why, E_IO, "%s: expected a file of at most %zu bytes", path, most);
    } else {
        size_t room = (size_t)st.st_size + 1, before = buf_len(ret);
        e = buf_try_reserve(ret, room);
        if (e == E_OK) {
            e = read_all(fd, path, room, ret, why);
            if (e == E_OK) { e = check_unchanged(fd, path, &st, buf_len(ret) - before, why); }
        } else {
            (void)fault_set(why, e, "%s: no room for %zu bytes", path, room);
        }
    }
    if (fd >= 0) { (void)close(fd); }
    return e;
}
