/* One end of a socket pair is the stream's, the other is ours; the loop is turned by hand. */
#include "unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/stream.h"

static struct loop loops[2];
static struct stream stream;
static int peer;
static int seen_events; /* of the last callback */
static unsigned calls;

static void on_ready(void *arg, int events)
{
    CHECK(arg == &stream);
    calls++;
    seen_events = events;
    if ((events & UV_WRITABLE) != 0) { stream_flush(&stream); }
}

static void turn(struct loop *l)
{
    for (int i = 0; i < 3; i++) { loop_turn(l, false); }
}

static int start(void **state)
{
    (void)state;
    int fds[2];
    for (int i = 0; i < 2; i++) { loop_init(&loops[i]); }
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    peer = fds[1];
    calls = 0;
    seen_events = 0;
    stream_open(&stream, &loops[0], fds[0], on_ready, &stream);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    stream_close(&stream);
    CHECK(!stream_is_open(&stream));
    if (peer >= 0) { (void)close(peer); }
    for (int i = 0; i < 2; i++) { loop_done(&loops[i]); }
    return 0;
}

static void say(const char *text)
{
    size_t len = strlen(text);
    CHECK(write(peer, text, len) == (ssize_t)len);
}

/* What the peer can read now. */
static size_t hear(uint8_t *to, size_t room)
{
    ssize_t got = recv(peer, to, room, 0);
    if (got < 0) { CHECK(errno == EAGAIN); }
    return got < 0 ? 0 : (size_t)got;
}

static void check_heard(const char *want)
{
    uint8_t bytes[64];
    size_t len = hear(bytes, sizeof bytes);
    CHECK(bytes_equal(bytes_of(bytes, len), bytes_str(want)));
}

/* ---- reading */

TEST(nothing_to_read_is_said_as_such)
{
    struct bytes view;
    CHECK(stream_read(&stream, &view) == E_AGAIN);
    CHECK(stream.state == E_OK);
}

TEST(bytes_that_came_are_told_and_read_whole)
{
    struct bytes view;
    turn(&loops[0]);
    CHECK(calls == 0);
    say("hello");
    turn(&loops[0]);
    CHECK(calls > 0 && (seen_events & UV_READABLE) != 0);
    CHECK(stream_read(&stream, &view) == E_OK);
    CHECK(bytes_equal(view, BYTES("hello")));
    stream_used(&stream, view, view.len);
    CHECK(stream.bytes_in == 5);
}

TEST(a_stream_with_nothing_left_over_holds_no_memory)
{
    struct bytes view;
    say("abc");
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_used(&stream, view, 1);
    CHECK(stream.in.data != NULL);
    say("d");
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_used(&stream, view, view.len);
    CHECK(stream.in.data == NULL && stream.out.data == NULL);
}

TEST(what_was_not_used_comes_again_in_front_of_what_is_new)
{
    struct bytes view;
    say("abcdef");
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_used(&stream, view, 2);
    say("ghi");
    CHECK(stream_read(&stream, &view) == E_OK);
    CHECK(bytes_equal(view, BYTES("cdefghi")));
    stream_used(&stream, view, 0);
    say("j");
    CHECK(stream_read(&stream, &view) == E_OK);
    CHECK(bytes_equal(view, BYTES("cdefghij")));
    stream_used(&stream, view, 5);
    CHECK(stream_read(&stream, &view) == E_AGAIN); /* what is left is not told twice */
    CHECK(bytes_equal(buf_view(&stream.in), BYTES("hij")));
}

TEST(a_message_longer_than_the_shared_buffer_gathers)
{
    enum { LONG = 3 * LOOP_READ_BYTES + 17 };
    uint8_t *sent = mem_try(LONG);
    for (size_t i = 0; i < LONG; i++) { sent[i] = (uint8_t)(i * 31 >> 3); }
    struct bytes view = {0};
    size_t at = 0;
    for (int turns = 0; turns < 1000 && view.len < LONG; turns++) {
        ssize_t wrote = at < LONG ? send(peer, sent + at, LONG - at, MSG_NOSIGNAL) : 0;
        if (wrote > 0) { at += (size_t)wrote; }
        if (stream_read(&stream, &view) == E_OK) { stream_used(&stream, view, 0); }
    }
    CHECK(bytes_equal(buf_view(&stream.in), bytes_of(sent, LONG)));
    mem_free(&sent);
}

TEST(the_peer_closing_is_the_end_and_a_broken_socket_an_error)
{
    struct bytes view;
    say("last");
    (void)close(peer);
    peer = -1;
    CHECK(stream_read(&stream, &view) == E_OK);
    CHECK(bytes_equal(view, BYTES("last")));
    stream_used(&stream, view, view.len);
    CHECK(stream_read(&stream, &view) == E_EOF);
    CHECK(stream.state == E_EOF);
}

TEST(a_paused_stream_is_not_told_until_it_resumes)
{
    struct bytes view;
    stream_pause(&stream, true);
    say("x");
    turn(&loops[0]);
    CHECK(calls == 0);
    stream_pause(&stream, false);
    turn(&loops[0]);
    CHECK(calls > 0);
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_used(&stream, view, 1);
}

/* ---- writing */

TEST(small_writes_gather_until_they_are_flushed)
{
    stream_put(&stream, BYTES("one "));
    stream_put(&stream, BYTES("two "));
    stream_put(&stream, BYTES(""));
    check_heard("");
    CHECK(stream_unwritten(&stream) == 8);
    stream_flush(&stream);
    check_heard("one two ");
    CHECK(stream_unwritten(&stream) == 0 && stream.bytes_out == 8);
    stream_flush(&stream); /* nothing more */
    check_heard("");
}

TEST(a_long_run_goes_out_at_once_behind_what_was_gathered)
{
    uint8_t run[STREAM_DIRECT], heard[STREAM_DIRECT + 64];
    memset(run, 'r', sizeof run);
    stream_put(&stream, BYTES("before"));
    stream_put(&stream, bytes_of(run, sizeof run));
    size_t len = hear(heard, sizeof heard);
    CHECK(len == 6 + sizeof run);
    CHECK(memcmp(heard, "before", 6) == 0 && memcmp(heard + 6, run, sizeof run) == 0);
    CHECK(stream_unwritten(&stream) == 0 && stream.out.data == NULL);
}

TEST(what_the_socket_does_not_take_follows_in_order_as_it_drains)
{
    enum { RUN = 100000, RUNS = 20, ALL = RUN * RUNS };
    int small = 8192;
    CHECK(setsockopt(stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    uint8_t *sent = mem_try(ALL), *heard = mem_try(ALL);
    for (size_t i = 0; i < ALL; i++) { sent[i] = (uint8_t)(i * 7 >> 2); }
    for (size_t i = 0; i < RUNS; i++) {
        stream_put(&stream, bytes_of(sent + i * RUN, 10));            /* gathered */
        stream_put(&stream, bytes_of(sent + i * RUN + 10, RUN - 10)); /* at once */
    }
    CHECK(stream.blocked && stream_unwritten(&stream) > 0);
    size_t got = 0;
    for (int turns = 0; turns < 100000 && got < ALL; turns++) {
        got += hear(heard + got, ALL - got);
        turn(&loops[0]);
    }
    CHECK(got == ALL && memcmp(sent, heard, ALL) == 0);
    CHECK(!stream.blocked && stream_unwritten(&stream) == 0);
    CHECK(stream.bytes_out == ALL);
    calls = 0;
    turn(&loops[0]);
    CHECK(calls == 0); /* a socket with room is not asked about */
    mem_free(&sent);
    mem_free(&heard);
}

TEST(a_paused_stream_still_writes)
{
    static const uint8_t run[600000];
    stream_pause(&stream, true);
    stream_put(&stream, bytes_of(run, sizeof run));
    CHECK(stream.blocked);
    static uint8_t heard[600000];
    size_t got = 0;
    for (int turns = 0; turns < 100000 && got < sizeof heard; turns++) {
        got += hear(heard, sizeof heard);
        turn(&loops[0]);
    }
    CHECK(got == sizeof run && !stream.blocked);
    CHECK((seen_events & UV_READABLE) == 0);
}

TEST(writing_to_a_peer_that_left_is_an_error_and_keeps_nothing)
{
    (void)close(peer);
    peer = -1;
    stream_put(&stream, BYTES("hello"));
    CHECK(stream.state == E_OK); /* not tried yet */
    stream_flush(&stream);
    CHECK(stream.state == E_IO);
    CHECK(stream_unwritten(&stream) == 0 && stream.out.data == NULL);
    stream_put(&stream, BYTES("more"));
    CHECK(stream_unwritten(&stream) == 0);
}

/* ---- moving */

TEST(a_stream_moves_to_another_loop_with_all_its_bytes)
{
    struct bytes view;
    say("abc");
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_used(&stream, view, 1);
    stream_put(&stream, BYTES("out"));
    stream_detach(&stream);
    say("de");
    turn(&loops[0]);
    turn(&loops[1]);
    CHECK(calls == 0); /* nobody watches it */
    stream_attach(&stream, &loops[1], on_ready, &stream);
    turn(&loops[0]);
    CHECK(calls == 0);
    turn(&loops[1]);
    CHECK(calls > 0);
    CHECK(stream_read(&stream, &view) == E_OK);
    CHECK(bytes_equal(view, BYTES("bcde")));
    stream_used(&stream, view, view.len);
    stream_flush(&stream);
    check_heard("out");
}

TEST(a_stream_that_waits_to_write_goes_on_writing_where_it_moved)
{
    static const uint8_t run[600000];
    static uint8_t heard[600000];
    stream_put(&stream, bytes_of(run, sizeof run));
    CHECK(stream.blocked);
    stream_detach(&stream);
    stream_attach(&stream, &loops[1], on_ready, &stream);
    size_t got = 0;
    for (int turns = 0; turns < 100000 && got < sizeof heard; turns++) {
        got += hear(heard, sizeof heard);
        turn(&loops[1]);
    }
    CHECK(got == sizeof run);
}

/* The descriptor that came with the next bytes, in *ret_fd (-1: none); how many bytes. */
static ssize_t receive(uint8_t *to, size_t room, int *ret_fd)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {to, room};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof control.room};
    ssize_t got = recvmsg(peer, &m, 0);
    *ret_fd = -1;
    struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&m);
    if (c != NULL) { memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd); }
    return got;
}

TEST(a_descriptor_goes_along_with_its_run)
{
    uint8_t bytes[16];
    int fd;
    CHECK(stream_send_fd(&stream, BYTES("abc"), peer) == E_OK);
    CHECK(receive(bytes, sizeof bytes, &fd) == 3 && fd >= 0 && fd != peer);
    (void)close(fd);
    CHECK(stream_send_fd(&stream, BYTES("de"), -1) == E_OK);
    CHECK(receive(bytes, sizeof bytes, &fd) == 2 && fd == -1);
}

TEST(a_full_socket_takes_no_descriptor_until_it_drains)
{
    static uint8_t run[3000], heard[3000];
    unsigned sent = 0, got = 0;
    int fd;
    enum err e;
    while ((e = stream_send_fd(&stream, bytes_of(run, sizeof run), peer)) == E_OK) {
        sent++;
        stream_flush(&stream);
        if (stream_unwritten(&stream) > 0) { break; }
    }
    CHECK(e == E_OK || e == E_AGAIN);
    CHECK(sent > 0 && stream.blocked && calls == 0);
    while (receive(heard, sizeof heard, &fd) > 0) {
        got += fd >= 0;
        if (fd >= 0) { (void)close(fd); }
    }
    turn(&loops[0]);
    CHECK(got == sent && calls > 0 && (seen_events & UV_WRITABLE) != 0);
}

TEST(a_held_stream_is_not_told_whatever_else_is_said)
{
    stream_hold(&stream, true);
    say("abc");
    turn(&loops[0]);
    CHECK(calls == 0);
    stream_pause(&stream, true);
    stream_pause(&stream, false);
    turn(&loops[0]);
    CHECK(calls == 0);
    stream_pause(&stream, true);
    stream_hold(&stream, false);
    turn(&loops[0]);
    CHECK(calls == 0); /* it was paused besides */
    stream_pause(&stream, false);
    turn(&loops[0]);
    CHECK(calls > 0);
}

TEST(a_move_ends_the_hold)
{
    stream_hold(&stream, true);
    stream_detach(&stream);
    stream_attach(&stream, &loops[1], on_ready, &stream);
    say("abc");
    turn(&loops[1]);
    CHECK(calls > 0);
}

TEST(closing_while_bytes_are_worked_on_is_harmless)
{
    struct bytes view;
    say("abc");
    CHECK(stream_read(&stream, &view) == E_OK);
    stream_close(&stream);
    stream_used(&stream, view, 1);
    CHECK(stream.in.data == NULL);
    turn(&loops[0]);
    CHECK(calls == 0);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(nothing_to_read_is_said_as_such),
        EACH(bytes_that_came_are_told_and_read_whole),
        EACH(a_stream_with_nothing_left_over_holds_no_memory),
        EACH(what_was_not_used_comes_again_in_front_of_what_is_new),
        EACH(a_message_longer_than_the_shared_buffer_gathers),
        EACH(the_peer_closing_is_the_end_and_a_broken_socket_an_error),
        EACH(a_paused_stream_is_not_told_until_it_resumes),
        EACH(small_writes_gather_until_they_are_flushed),
        EACH(a_long_run_goes_out_at_once_behind_what_was_gathered),
        EACH(what_the_socket_does_not_take_follows_in_order_as_it_drains),
        EACH(a_paused_stream_still_writes),
        EACH(writing_to_a_peer_that_left_is_an_error_and_keeps_nothing),
        EACH(a_stream_moves_to_another_loop_with_all_its_bytes),
        EACH(a_stream_that_waits_to_write_goes_on_writing_where_it_moved),
        EACH(a_descriptor_goes_along_with_its_run),
        EACH(a_full_socket_takes_no_descriptor_until_it_drains),
        EACH(a_held_stream_is_not_told_whatever_else_is_said),
        EACH(a_move_ends_the_hold),
        EACH(closing_while_bytes_are_worked_on_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
