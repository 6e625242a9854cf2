/* Two forks and a pipe between the first process and the last. */
#include "worker/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static void await_child(int from, pid_t child) __attribute__((noreturn));
static void await_child(int from, pid_t child)
{
    uint8_t byte;
    ssize_t got;
    do {
        got = read(from, &byte, 1);
    } while (got < 0 && errno == EINTR);
    (void)waitpid(child, NULL, 0);
    _exit(got == 1 ? 0 : 1); /* exit() would flush and check what the child goes on with */
}

enum err detach_begin(int *ret_ready, struct fault *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return fault_set(why, E_IO, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t child = fork();
    if (child < 0) { return fault_set(why, E_IO, "cannot fork: %s", strerror(errno)); }
    if (child > 0) {
        (void)close(ends[1]);
        await_child(ends[0], child);
    }
    (void)close(ends[0]);
    (void)setsid();
    /* Not the leader of its session any more: no terminal can become its own. */
    child = fork();
    if (child != 0) { _exit(child < 0 ? 1 : 0); }
    *ret_ready = ends[1];
    return E_OK;
}

void detach_ready(int ready)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++) { (void)dup2(null, fd); }
    if (null > STDERR_FILENO) { (void)close(null); }
    ssize_t wrote = write(ready, "", 1);
    (void)wrote; /* who started it was killed: nobody wants to know */
    (void)close(ready);
}
