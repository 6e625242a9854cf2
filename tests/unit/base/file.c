/* Reading whole files: what is not whole is an error. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char path[] = "/tmp/pgusher-file-XXXXXX";
static int fd;

static void fill(size_t len)
{
    static const char block[4096];
    CHECK(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    while (len > 0) {
        ssize_t put = write(fd, block, len < sizeof block ? len : sizeof block);
        CHECK(put > 0);
        len -= (size_t)put;
    }
}

static void check_fails(const char *file, size_t most, const char *reason)
{
    struct buf text = {0};
    struct fault why = {0};
    char want[256];
    (void)snprintf(want, sizeof want, "%s: %s", file, reason);
    CHECK(file_read(file, most, &text, &why) == E_IO);
    CHECK_STR(why.text, want);
    buf_done(&text);
}

TEST(a_file_is_read_whole_behind_what_is_there)
{
    struct buf text = {0};
    struct fault why = {0};
    fill(10000);
    buf_put(&text, "before", 6);
    CHECK(file_read(path, 10000, &text, &why) == E_OK);
    CHECK(buf_len(&text) == 10006);
    fill(0);
    CHECK(file_read(path, 10000, &text, &why) == E_OK && buf_len(&text) == 10006);
    buf_done(&text);
}

TEST(what_is_too_long_or_no_file_is_refused)
{
    fill(101);
    check_fails(path, 100, "expected a file of at most 100 bytes");
    check_fails("/tmp", 100, "expected a file of at most 100 bytes");
    check_fails("/dev/null", 100, "expected a file of at most 100 bytes");
    check_fails("/nowhere/file", 100, "No such file or directory");
}

static atomic_bool over;

/* Somebody who writes all the time: no two looks see the same age. */
static void *keep_touching(void *arg)
{
    (void)arg;
    for (long n = 0; !atomic_load(&over); n++) {
        const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
                                         {.tv_sec = 1, .tv_nsec = n % 1000000000}};
        if (futimens(fd, times) != 0) { return &fd; }
    }
    return NULL;
}

TEST(a_file_that_changes_while_it_is_read_is_an_error)
{
    pthread_t writer;
    enum err e = E_OK;
    void *failed;
    struct fault why = {0};
    fill(1 << 20);
    CHECK(pthread_create(&writer, NULL, keep_touching, NULL) == 0);
    while (e == E_OK) {
        struct buf text = {0};
        e = file_read(path, 1 << 20, &text, &why);
        buf_done(&text);
    }
    atomic_store(&over, true);
    CHECK(pthread_join(writer, &failed) == 0 && failed == NULL);
    CHECK(e == E_IO && strstr(why.text, ": the file changed while it was read") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_file_is_read_whole_behind_what_is_there),
        RUN(what_is_too_long_or_no_file_is_refused),
        RUN(a_file_that_changes_while_it_is_read_is_an_error),
    };
    fd = mkstemp(path);
    int status = fd < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)close(fd);
    return status;
}
