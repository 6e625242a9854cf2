#include "net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit.h"

enum {
    CLIENTS = 24
}; /* the kernel shares them out by hash: with so many, each listener gets some */

static uint16_t port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    return ntohs(a.sin_port);
}

static int listen_shared(uint16_t port)
{
    struct listeners ls = {0};
    struct fault why = {0};
    CHECK(socket_listen_tcp(&ls, "127.0.0.1", port, CLIENTS, true, &why) == E_OK);
    int fd = ls.fds[0];
    mem_free(&ls.fds);
    return fd;
}

static int accept_waiting(int listener)
{
    int n = 0, fd;
    struct address peer;
    while (socket_accept(listener, &fd, &peer) == E_OK) {
        (void)close(fd);
        n++;
    }
    return n;
}

static void connect_all(uint16_t port, int *fds)
{
    struct address to = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(&to.room, &in, sizeof in);
    for (int i = 0; i < CLIENTS; i++) { CHECK(socket_connect(&to, &fds[i]) != E_IO); }
}

TEST(who_connects_to_a_hushed_socket_comes_to_the_other_one_when_it_closes)
{
    int hushed = listen_shared(0);
    uint16_t port = port_of(hushed);
    int other = listen_shared(port);
    int clients[CLIENTS];
    socket_hush(hushed);
    connect_all(port, clients);
    CHECK(accept_waiting(hushed) == 0);
    int got = accept_waiting(other);
    CHECK(got > 0 && got < CLIENTS);
    socket_unhush(hushed);
    CHECK(close(hushed) == 0);
    while (got < CLIENTS) { /* the kernel sends their SYN again */
        struct pollfd p = {.fd = other, .events = POLLIN};
        CHECK(poll(&p, 1, 30000) == 1);
        got += accept_waiting(other);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(socket_error(clients[i]) == 0);
        (void)close(clients[i]);
    }
    (void)close(other);
}

TEST(who_has_connected_before_the_hush_is_accepted)
{
    int listener = listen_shared(0);
    int clients[CLIENTS];
    connect_all(port_of(listener), clients);
    socket_hush(listener);
    CHECK(accept_waiting(listener) == CLIENTS);
    for (int i = 0; i < CLIENTS; i++) { (void)close(clients[i]); }
    (void)close(listener);
}

TEST(an_unshared_port_is_not_hushed)
{
    struct listeners ls = {0};
    struct fault why = {0};
    int clients[CLIENTS];
    CHECK(socket_listen_tcp(&ls, "127.0.0.1", 0, CLIENTS, false, &why) == E_OK);
    socket_hush(ls.fds[0]);
    connect_all(port_of(ls.fds[0]), clients);
    CHECK(accept_waiting(ls.fds[0]) == CLIENTS);
    for (int i = 0; i < CLIENTS; i++) { (void)close(clients[i]); }
    listeners_close(&ls);
}

TEST(an_ip4_address_is_written_as_everywhere)
{
    for (uint32_t i = 0; i < 4096; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(6432)};
        in.sin_addr.s_addr = i < 256 ? htonl(i * 0x01010101) : i * 2654435761U;
        struct address a = {.len = sizeof in};
        memcpy(&a.room, &in, sizeof in);
        char want[INET_ADDRSTRLEN], got[64];
        int port;
        address_text(&a, got, sizeof got, &port);
        CHECK(inet_ntop(AF_INET, &in.sin_addr, want, sizeof want) != NULL);
        CHECK_STR(got, want);
        CHECK(port == 6432);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(who_connects_to_a_hushed_socket_comes_to_the_other_one_when_it_closes),
        RUN(who_has_connected_before_the_hush_is_accepted),
        RUN(an_unshared_port_is_not_hushed),
        RUN(an_ip4_address_is_written_as_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
