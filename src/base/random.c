/* Not OpenSSL's: that takes 2.5 MiB before it gives the first byte. */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
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
