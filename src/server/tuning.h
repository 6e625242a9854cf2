/* The tcp_* options as net/ wants them, and how long a cancel request may take: the same towards
 * clients, servers and peers. */
#pragma once

#include "base/clock.h"
#include "config/config.h"
#include "net/socket.h"

static inline struct socket_tuning tuning_of(const struct options *o)
{
    return (struct socket_tuning){.keepalive = o->tcp_keepalive,
                                  .keepidle_s = o->tcp_keepidle,
                                  .keepintvl_s = o->tcp_keepintvl,
                                  .keepcnt = o->tcp_keepcnt,
                                  .user_timeout_ms = o->tcp_user_timeout,
                                  .buffer_bytes = o->tcp_socket_buffer_bytes};
}

/* It has an end also where the option gives none: the server is not lent before. */
static inline int64_t cancel_timeout_of(const struct options *o)
{
    return o->cancel_wait_timeout_us > 0 ? o->cancel_wait_timeout_us : 10 * US_PER_S;
}

/* Not on a port that other processes share: who has connected and said nothing yet would be reset
 * when this one closes it. */
static inline bool tuning_defers_accept(const struct options *o)
{
    return o->tcp_defer_accept != 0 && !o->so_reuseport;
}
