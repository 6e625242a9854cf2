/* Socket options reach the kernel. */
#include "unit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

static int option(int fd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof v;
    CHECK(getsockopt(fd, level, name, &v, &len) == 0);
    return v;
}

TEST(what_is_asked_for_is_set)
{
    const struct socket_tuning how = {.keepalive = true,
                                      .keepidle_s = 33,
                                      .keepintvl_s = 7,
                                      .keepcnt = 4,
                                      .user_timeout_ms = 12345,
                                      .buffer_bytes = 65536};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socket_tune(fd, &how);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 33);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 7);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 12345);
    CHECK(option(fd, SOL_SOCKET, SO_SNDBUF) == 2 * 65536); /* socket(7): the kernel doubles it */
    CHECK(option(fd, SOL_SOCKET, SO_RCVBUF) == 2 * 65536);
    (void)close(fd);
}

TEST(what_is_not_stays_the_systems)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    socket_tune(fd, &(struct socket_tuning){0});
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == option(other, IPPROTO_TCP, TCP_KEEPIDLE));
    CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
    CHECK(option(fd, SOL_SOCKET, SO_SNDBUF) == option(other, SOL_SOCKET, SO_SNDBUF));
    (void)close(fd);
    (void)close(other);
}

static int accepted_from(int listener)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    CHECK(getsockname(listener, (struct sockaddr *)&a, &len) == 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(client, (struct sockaddr *)&a, len) == 0);
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    (void)close(client);
    return fd;
}

TEST(who_is_accepted_has_what_its_listener_has)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 1) == 0);
    for (int keepalive = 1; keepalive >= 0; keepalive--) {
        socket_tune_listener(listener, keepalive != 0);
        int fd = accepted_from(listener);
        socket_tune(fd, &(struct socket_tuning){.accepted = true, .user_timeout_ms = 77});
        CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
        CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == keepalive);
        CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 77);
        (void)close(fd);
    }
    (void)close(listener);
}

TEST(a_unix_socket_bears_it)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socket_tune(fd, &(struct socket_tuning){.keepalive = true, .user_timeout_ms = 5});
    CHECK(option(fd, SOL_SOCKET, SO_ERROR) == 0);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_asked_for_is_set),
        RUN(what_is_not_stays_the_systems),
        RUN(who_is_accepted_has_what_its_listener_has),
        RUN(a_unix_socket_bears_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
