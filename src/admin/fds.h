/* What SHOW FDS leaves with the session while its rows go out one by one. */
#pragma once

#include "admin/session.h"

struct fd_row { /* of SHOW FDS */
    int fd;     /* ours; -1: none goes along, or it is gone */
    size_t end; /* of its row among all of them */
};

/* May this console have the descriptors themselves? */
bool fds_allowed(const struct session *s);
/* Sends on. The answer may be over on return, and the session gone. */
void fds_send(struct session *s);
void fds_forget(struct session *s);
void fds_close(struct fd_row **list, size_t count);
