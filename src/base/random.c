/* Not OpenSSL's: that takes 2.5 MiB before it gives the first byte. */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_fill(void *ret, size_t len)
{
    for (char *to = ret; len > 0;) {
        ssize_t got = getrandom(to, len, 0);
        if (got < 0 && errno != EINTR) { abort(); }
        if (got < 0) { continue; }
        to += got;
        len -= (size_t)got;
    }
}

void random_take(struct random_pool *p, void *ret, size_t len)
{
    assert(len <= sizeof p->bytes);
    if (p->left < len) {
        random_fill(p->bytes, sizeof p->bytes);
        p->left = sizeof p->bytes;
    }
    p->left -= len;
    memcpy(ret, p->bytes + p->left, len);
    explicit_bzero(p->bytes + p->left, len);
}
