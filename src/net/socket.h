/* Sockets: listening, accepting, connecting. All fds are non-blocking and close-on-exec. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/fault.h"

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
    };
    socklen_t len;
};

/* Listening sockets; fds is grown by mem_grow, its owner closes them. */
struct listeners {
    int *fds;
    size_t count;
};
/* addresses: comma list of names and numbers, "*" for all; empty: none. */
MUST_USE enum err socket_listen_tcp(struct listeners *ls, const char *addresses, int port,
                                    int backlog, bool reuseport, struct fault *why);
/* Do they resolve? Nothing is bound. */
MUST_USE enum err socket_check_tcp(const char *addresses, struct fault *why);
/* Where and how; dir: a folder, or "@name" for the abstract namespace; empty: no socket at all. The
 * file is DIR/.s.PGSQL.PORT. */
struct unix_door {
    const char *dir;
    int port, mode, backlog;
    const char *group; /* empty: the process's */
    bool take_over;    /* from a process that still uses it, and goes on with whom it has */
};
/* Does the path fit, and is there such a group? Nothing is made. */
MUST_USE enum err socket_check_unix(const char *dir, int port, const char *group,
                                    struct fault *why);
/* The file that was made. */
struct unix_file {
    char *path; /* NULL: none */
    dev_t device;
    ino_t inode;
};
MUST_USE enum err socket_listen_unix(struct listeners *ls, const struct unix_door *door,
                                     struct unix_file *file, struct fault *why);
/* Removes the file, unless it is another process's by now. */
void socket_unlink_unix(struct unix_file *file);
/*
 * Sockets that the service manager opened and left to us, in place of our own; none: E_OK and
 * nothing added. systemd: sd_listen_fds(3). Only once, and before threads: it takes them out of the
 * environment.
 */
MUST_USE enum err socket_inherit(struct listeners *ls, struct fault *why);
bool socket_is_unix(int fd);
/* Whoever connects is accepted when the first bytes are here, or a minute later; on TCP only. */
void socket_defer_accept(int listener, bool on);
/*
 * For a port that other processes listen on too (SO_REUSEPORT), else nothing: nobody begins to
 * connect to this socket any more (their SYN is dropped, and the next one goes to another process
 * when this socket is closed), while who has begun comes through. Without that the close would
 * reset whoever is in between. Ends with socket_unhush().
 */
void socket_hush(int listener);
void socket_unhush(int listener); /* before the close: the service manager may have it too */
void listeners_close(struct listeners *ls);

/* E_AGAIN when nobody is waiting; E_LIMIT when out of file descriptors. */
MUST_USE enum err socket_accept(int listener, int *ret_fd, struct address *peer);
/* Starts a connection: E_OK at once, or E_AGAIN: writable when it is decided; then socket_error().
 */
MUST_USE enum err socket_connect(const struct address *to, int *ret_fd);
/* What SO_ERROR says: 0 or an errno. */
int socket_error(int fd);
/* A unix socket's address; false when the path does not fit. */
bool address_unix(struct address *a, const char *dir, int port);
/* A numeric IP address; false when it is a name. */
bool address_numeric(struct address *a, const char *host, int port);
/* Which address the socket has on this side; false: it cannot be told. */
bool socket_own_address(int fd, struct address *ret);
void address_set_port(struct address *a, int port);
/* "10.0.0.1", "::1", "unix"; port 0 for unix. */
void address_text(const struct address *a, char *host, size_t host_size, int *port);
/* The system user at the other end of a unix socket; false when it cannot be told. */
bool socket_peer_uid(int fd, uid_t *ret);
/* The process there; 0 when it cannot be told. */
pid_t socket_peer_pid(int fd);
/* What is written from here on goes out with the end, socket_finish(), in one packet if it fits. */
void socket_cork(int fd);
void socket_finish(int fd);
struct socket_tuning { /* 0: the system's default */
    bool accepted;     /* from a listener that was tuned */
    bool keepalive;
    int keepidle_s, keepintvl_s, keepcnt, user_timeout_ms;
    int64_t buffer_bytes;
};
/* Who is accepted from now on has TCP_NODELAY, and keepalive as it says. */
void socket_tune_listener(int listener, bool keepalive);
/* TCP_NODELAY and what else is asked for, where the socket has it. */
void socket_tune(int fd, const struct socket_tuning *how);
