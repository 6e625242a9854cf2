/*
 * The floor for any userspace proxy: a byte mover that knows no protocol. One recv and one send per
 * wake-up; what a destination does not take is kept, and its source is not read until it is gone.
 *   relay LISTEN_PORT TARGET_HOST TARGET_PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    int fd;
    struct end *peer;
    uint8_t *kept; /* bytes this end has not taken yet */
    size_t kept_len, kept_off;
    struct end *next_dead;
};

static uint8_t bytes[65536];
static int ep;
static struct end *dead; /* freed after the batch of events that may still name them */

static void watch(struct end *e, int op)
{
    bool may_read = e->peer->kept == NULL;
    struct epoll_event ev = {.events = (may_read ? (uint32_t)EPOLLIN : 0U) |
                                       (e->kept != NULL ? (uint32_t)EPOLLOUT : 0U),
                             .data.ptr = e};
    if (epoll_ctl(ep, op, e->fd, &ev) != 0) {
        perror("relay: epoll_ctl");
        exit(1);
    }
}

static void bury(struct end *e)
{
    if (e->fd < 0) { return; }
    struct end *both[] = {e, e->peer};
    for (int i = 0; i < 2; i++) {
        close(both[i]->fd);
        both[i]->fd = -1;
        both[i]->next_dead = dead;
        dead = both[i];
    }
}

/* Gives len bytes to e; what does not fit is kept, and the peer waits. */
static void give(struct end *e, const uint8_t *data, size_t len)
{
    ssize_t sent = send(e->fd, data, len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        bury(e);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    if (done == len) { return; }
    e->kept = malloc(len - done);
    if (e->kept == NULL) { abort(); }
    memcpy(e->kept, data + done, len - done);
    e->kept_len = len - done;
    e->kept_off = 0;
    watch(e, EPOLL_CTL_MOD);
    watch(e->peer, EPOLL_CTL_MOD);
}

static void flush(struct end *e)
{
    ssize_t sent = send(e->fd, e->kept + e->kept_off, e->kept_len - e->kept_off, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) { bury(e); }
        return;
    }
    e->kept_off += (size_t)sent;
    if (e->kept_off < e->kept_len) { return; }
    free(e->kept);
    e->kept = NULL;
    watch(e, EPOLL_CTL_MOD);
    watch(e->peer, EPOLL_CTL_MOD);
}

static void move(struct end *e)
{
    ssize_t got = recv(e->fd, bytes, sizeof bytes, 0);
    if (got > 0) {
        give(e->peer, bytes, (size_t)got);
    } else if (got == 0 || errno != EAGAIN) {
        bury(e);
    }
}

static void welcome(int listener, const struct sockaddr_in *target)
{
    int one = 1;
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) { return; }
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (const struct sockaddr *)target, sizeof *target) != 0) {
        perror("relay: connect");
        close(client);
        if (server >= 0) { close(server); }
        return;
    }
    int fds[] = {client, server};
    struct end *ends[2];
    for (int i = 0; i < 2; i++) {
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        ends[i] = calloc(1, sizeof *ends[i]);
        if (ends[i] == NULL) { abort(); }
        ends[i]->fd = fds[i];
    }
    ends[0]->peer = ends[1];
    ends[1]->peer = ends[0];
    watch(ends[0], EPOLL_CTL_ADD);
    watch(ends[1], EPOLL_CTL_ADD);
}

static void turn(int listener, const struct sockaddr_in *target)
{
    struct epoll_event evs[256];
    int n = epoll_wait(ep, evs, 256, -1);
    for (int i = 0; i < n; i++) {
        struct end *e = evs[i].data.ptr;
        if (e == NULL) {
            welcome(listener, target);
            continue;
        }
        if (e->fd >= 0 && e->kept != NULL && (evs[i].events & EPOLLOUT)) { flush(e); }
        if (e->fd >= 0 && e->peer->kept == NULL && (evs[i].events & ~(uint32_t)EPOLLOUT)) {
            move(e);
        }
    }
    while (dead != NULL) {
        struct end *e = dead;
        dead = e->next_dead;
        free(e->kept);
        free(e);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    if (argc != 4 || inet_pton(AF_INET, argv[2], &target.sin_addr) != 1) {
        fprintf(stderr, "usage: relay LISTEN_PORT TARGET_ADDRESS TARGET_PORT\n");
        return 2;
    }
    at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    target.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0 ||
        epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) != 0) {
        perror("relay: listen");
        return 1;
    }
    for (;;) { turn(listener, &target); }
}
