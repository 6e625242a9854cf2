/* The tcp_* options as net/ wants them; the same towards clients and servers. */
#pragma once

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
