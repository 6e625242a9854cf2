/* The socket calls, with every failure turned into words. */
#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

static void keep(struct listeners *ls, int fd)
{
    ls->fds = mem_grow(ls->fds, ls->count + 1, sizeof(int));
    ls->fds[ls->count++] = fd;
}

static enum err cannot_listen(const char *what, struct fault *why)
{
    int saved = errno;
    enum err e = fault_set(why, E_IO, "cannot listen on %s: %s", what, strerror(saved));
    if (saved == EADDRINUSE) { fault_hint(why, "Is another server already using this address?"); }
    return e;
}

static enum err listen_on(struct listeners *ls, const struct address *a, const char *what,
                          int backlog, bool reuseport, struct fault *why)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return fault_set(why, E_IO, "socket for %s: %s", what, strerror(errno)); }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if ((reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, &a->any, a->len) != 0 || listen(fd, backlog) != 0) {
        enum err e = cannot_listen(what, why);
        (void)close(fd);
        return e;
    }
    keep(ls, fd);
    return E_OK;
}

static enum err resolve_own(const char *name, int port, struct addrinfo **ret, struct fault *why)
{
    char service[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    (void)snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, service, &hints, ret);
    return rc == 0 ? E_OK
                   : fault_set(why, E_CONFIG, "cannot resolve listen_addr %s: %s", name,
                               gai_strerror(rc));
}

static enum err listen_name(struct listeners *ls, const char *name, int port, int backlog,
                            bool reuseport, struct fault *why)
{
    bool all = strcmp(name, "*") == 0;
    char what[300];
    (void)snprintf(what, sizeof what, "%s:%d", name, port);
    struct addrinfo *list = NULL;
    enum err e = resolve_own(name, port, &list, why);
    if (e != E_OK) { return e; }
    size_t before = ls->count;
    for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        struct address a = {.len = ai->ai_addrlen};
        memcpy(&a.room, ai->ai_addr, ai->ai_addrlen);
        enum err one = listen_on(ls, &a, what, backlog, reuseport, why);
        if (one != E_OK && !all) { e = one; }
        if (one != E_OK && all) {
            e = ls->count > before ? E_OK : one;
        } /* no IPv6 here: IPv4 will do */
        if (one == E_OK && all) { e = E_OK; }
    }
    freeaddrinfo(list);
    return e;
}

/* NULL at the end of the list. */
static char *next_name(char **rest)
{
    for (char *name; (name = strsep(rest, ",")) != NULL;) {
        name += strspn(name, " \t");
        name[strcspn(name, " \t")] = '\0';
        if (name[0] != '\0') { return name; }
    }
    return NULL;
}

enum err socket_listen_tcp(struct listeners *ls, const char *addresses, int port, int backlog,
                           bool reuseport, struct fault *why)
{
    char *list = mem_strdup(addresses), *rest = list;
    enum err e = E_OK;
    for (char *name; e == E_OK && (name = next_name(&rest)) != NULL;) {
        e = listen_name(ls, name, port, backlog, reuseport, why);
    }
    mem_free(&list);
    return e;
}

enum err socket_check_tcp(const char *addresses, struct fault *why)
{
    char *list = mem_strdup(addresses), *rest = list;
    enum err e = E_OK;
    for (char *name; e == E_OK && (name = next_name(&rest)) != NULL;) {
        struct addrinfo *found = NULL;
        e = resolve_own(name, 0, &found, why);
        if (e == E_OK) { freeaddrinfo(found); }
    }
    mem_free(&list);
    return e;
}

bool address_unix(struct address *a, const char *dir, int port)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a->room;
    memset(&a->room, 0, sizeof a->room);
    un->sun_family = AF_UNIX;
    int n = snprintf(un->sun_path, sizeof un->sun_path, "%s/.s.PGSQL.%d", dir, port);
    if (n < 0 || (size_t)n >= sizeof un->sun_path) { return false; }
    a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
    if (dir[0] == '@') { /* abstract: a leading zero, no closing one */
        un->sun_path[0] = '\0';
        a->len--;
    }
    return true;
}

/* A file left by a dead process goes, a living server's stays. */
static enum err make_way(const struct address *a, const char *path, struct fault *why)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) { return fault_set(why, E_IO, "socket for %s: %s", path, strerror(errno)); }
    bool used = connect(probe, &a->any, a->len) == 0;
    (void)close(probe);
    if (used) { return fault_set(why, E_IO, "unix socket %s is in use by another server", path); }
    return E_OK;
}

static enum err find_group(const char *name, gid_t *ret, struct fault *why)
{
    const struct group *g = getgrnam(name);
    if (g == NULL) {
        return fault_set(why, E_CONFIG, "unix_socket_group: there is no group %.60s", name);
    }
    *ret = g->gr_gid;
    return E_OK;
}

static enum err door_address(struct address *a, const char *dir, int port, struct fault *why)
{
    return address_unix(a, dir, port)
               ? E_OK
               : fault_set(why, E_CONFIG, "unix_socket_dir %s is too long for a socket path", dir);
}

enum err socket_check_unix(const char *dir, int port, const char *group, struct fault *why)
{
    struct address a;
    gid_t gid;
    if (dir[0] == '\0') { return E_OK; }
    enum err e = door_address(&a, dir, port, why);
    return e == E_OK && group[0] != '\0' ? find_group(group, &gid, why) : e;
}

/* Who may connect: before anybody can. */
static enum err set_rights(const char *path, const struct unix_door *door, struct fault *why)
{
    if (door->group[0] != '\0') {
        gid_t group = 0;
        enum err e = find_group(door->group, &group, why);
        if (e != E_OK) { return e; }
        if (chown(path, (uid_t)-1, group) != 0) {
            return fault_set(why, E_IO, "unix_socket_group: cannot give %s to group %.60s: %s",
                             path, door->group, strerror(errno));
        }
    }
    if (chmod(path, (mode_t)door->mode) != 0) {
        return fault_set(why, E_IO, "unix_socket_mode: cannot change the mode of %s: %s", path,
                         strerror(errno));
    }
    return E_OK;
}

enum err socket_listen_unix(struct listeners *ls, const struct unix_door *door,
                            struct unix_file *file, struct fault *why)
{
    struct address a;
    if (door->dir[0] == '\0') { return E_OK; }
    enum err e = door_address(&a, door->dir, door->port, why);
    if (e != E_OK) { return e; }
    if (door->dir[0] == '@') { return listen_on(ls, &a, door->dir, door->backlog, false, why); }
    const char *path = ((const struct sockaddr_un *)(const void *)&a.room)->sun_path;
    e = door->take_over ? E_OK : make_way(&a, path, why);
    if (e != E_OK) { return e; }
    (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return fault_set(why, E_IO, "socket for %s: %s", path, strerror(errno)); }
    struct stat st = {0};
    if (bind(fd, &a.any, a.len) != 0) {
        e = cannot_listen(path, why);
        (void)close(fd);
        return e;
    }
    e = set_rights(path, door, why);
    if (e == E_OK && (stat(path, &st) != 0 || listen(fd, door->backlog) != 0)) {
        e = cannot_listen(path, why);
    }
    if (e != E_OK) {
        (void)unlink(path);
        (void)close(fd);
        return e;
    }
    *file = (struct unix_file){mem_strdup(path), st.st_dev, st.st_ino};
    keep(ls, fd);
    return E_OK;
}

void socket_unlink_unix(struct unix_file *file)
{
    struct stat st;
    if (file->path == NULL) { return; }
    if (stat(file->path, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode) {
        (void)unlink(file->path);
    }
    mem_free(&file->path);
}

bool socket_is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* A whole number in the environment; -1: none there. */
static long environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') { return -1; }
    long n = strtol(text, &end, 10);
    return *end == '\0' ? n : -1;
}

static bool is_listening(int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM) {
        return false;
    }
    len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

enum err socket_inherit(struct listeners *ls, struct fault *why)
{
    enum { FIRST = 3, MOST = 1000 };
    long count = environment_number("LISTEN_FDS");
    bool ours = environment_number("LISTEN_PID") == (long)getpid();
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!ours || count <= 0) { return E_OK; }
    if (count > MOST) { return fault_set(why, E_CONFIG, "LISTEN_FDS is %ld", count); }
    for (int fd = FIRST; fd < FIRST + (int)count; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || !is_listening(fd)) {
            return fault_set(why, E_CONFIG,
                             "descriptor %d from the service manager is not a listening stream "
                             "socket",
                             fd);
        }
        if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            return fault_set(why, E_IO, "descriptor %d: %s", fd, strerror(errno));
        }
        keep(ls, fd);
    }
    return E_OK;
}

void socket_defer_accept(int listener, bool on)
{
    int seconds = on ? 45 : 0; /* PgBouncer's; the kernel rounds it to its retransmissions */
    (void)setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

void socket_hush(int listener)
{
    int shared = 0;
    socklen_t len = sizeof shared;
    if (socket_is_unix(listener) ||
        getsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &shared, &len) != 0 || shared == 0) {
        return;
    }
    enum { FLAGS_AT = 13, SYN = 0x02 }; /* of the TCP header, where the program's data begins */
    struct sock_filter no_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof no_syn / sizeof *no_syn, .filter = no_syn};
    (void)setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void socket_unhush(int listener)
{
    int unused = 0;
    (void)setsockopt(listener, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

void listeners_close(struct listeners *ls)
{
    for (size_t i = 0; i < ls->count; i++) { (void)close(ls->fds[i]); }
    mem_free(&ls->fds);
    ls->count = 0;
}

enum err socket_accept(int listener, int *ret_fd, struct address *peer)
{
    peer->len = sizeof peer->room;
    int fd = accept4(listener, &peer->any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            return E_LIMIT;
        }
        return E_AGAIN; /* nobody, or one who left already */
    }
    *ret_fd = fd;
    return E_OK;
}

enum err socket_connect(const struct address *to, int *ret_fd)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) { return E_IO; }
    int rc = connect(fd, &to->any, to->len);
    if (rc != 0 && errno != EINPROGRESS) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return E_IO;
    }
    *ret_fd = fd;
    return rc == 0 ? E_OK : E_AGAIN;
}

int socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) { return errno; }
    return error;
}

bool socket_own_address(int fd, struct address *ret)
{
    ret->len = sizeof ret->room;
    return getsockname(fd, &ret->any, &ret->len) == 0;
}

bool address_numeric(struct address *a, const char *host, int port)
{
    memset(a, 0, sizeof *a);
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a->room;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a->room;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        a->len = sizeof *in;
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        a->len = sizeof *in6;
    } else {
        return false;
    }
    address_set_port(a, port);
    return true;
}

void address_set_port(struct address *a, int port)
{
    if (a->any.sa_family == AF_INET) {
        ((struct sockaddr_in *)(void *)&a->room)->sin_port = htons((uint16_t)port);
    } else if (a->any.sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)&a->room)->sin6_port = htons((uint16_t)port);
    }
}

/* What inet_ntop() does by way of printf(): a fifth of the instructions of a login. */
static void put_ip4(uint32_t ip, char *to)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        unsigned n = ip >> shift & 255;
        if (n >= 100) { *to++ = (char)('0' + n / 100); }
        if (n >= 10) { *to++ = (char)('0' + n / 10 % 10); }
        *to++ = (char)('0' + n % 10);
        *to++ = shift == 0 ? '\0' : '.';
    }
}

void address_text(const struct address *a, char *host, size_t host_size, int *port)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&a->room;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->room;
    *port = 0;
    if (a->any.sa_family == AF_INET && host_size >= INET_ADDRSTRLEN) {
        put_ip4(ntohl(in->sin_addr.s_addr), host);
        *port = ntohs(in->sin_port);
    } else if (a->any.sa_family == AF_INET6 &&
               inet_ntop(AF_INET6, &in6->sin6_addr, host, (socklen_t)host_size)) {
        *port = ntohs(in6->sin6_port);
    } else {
        (void)snprintf(host, host_size, "unix");
    }
}

void socket_cork(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on); /* fails on unix sockets: fine */
}

void socket_finish(int fd)
{
    (void)shutdown(fd, SHUT_WR); /* it may be gone already */
}

static void set_if(int fd, int level, int option, int64_t value)
{
    int v = value > INT32_MAX ? INT32_MAX : (int)value;
    if (v > 0) { (void)setsockopt(fd, level, option, &v, sizeof v); }
}

void socket_tune_listener(int listener, bool keepalive)
{
    int on = keepalive;
    set_if(listener, IPPROTO_TCP, TCP_NODELAY, 1);
    (void)setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

void socket_tune(int fd, const struct socket_tuning *how)
{
    /* What a unix socket does not have it refuses: fine. */
    if (!how->accepted) {
        set_if(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        set_if(fd, SOL_SOCKET, SO_KEEPALIVE, how->keepalive);
    }
    if (how->keepalive) {
        set_if(fd, IPPROTO_TCP, TCP_KEEPIDLE, how->keepidle_s);
        set_if(fd, IPPROTO_TCP, TCP_KEEPINTVL, how->keepintvl_s);
        set_if(fd, IPPROTO_TCP, TCP_KEEPCNT, how->keepcnt);
    }
    set_if(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, how->user_timeout_ms);
    set_if(fd, SOL_SOCKET, SO_SNDBUF, how->buffer_bytes);
    set_if(fd, SOL_SOCKET, SO_RCVBUF, how->buffer_bytes);
}

bool socket_peer_uid(int fd, uid_t *ret)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) { return false; }
    *ret = peer.uid;
    return true;
}

pid_t socket_peer_pid(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ? 0 : peer.pid;
}
