/*
 * A load generator: N connections from one thread, each keeping DEPTH requests in flight, speaking
 * the simple, extended (a new unnamed Parse each time) or prepared protocol, or GETs of Redis.
 *   load [options]          prints one line of key=value; times are microseconds
 *     -h ADDRESS -p PORT -U USER -d DATABASE     where (trust authentication only)
 *     -m simple|extended|prepared|connect|idle|redis
 *     -c CONNECTIONS -f DEPTH -t SECONDS         how much; -n QUERIES ends earlier
 *     -q SQL                                     $1 stands for a random number
 *     -P MAX                                     $1 is between 1 and MAX
 *     -s BYTES                                   redis: the size of the value
 *     -x                                         a new line on stdin ends the run (for idle)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { SIMPLE, EXTENDED, PREPARED, CONNECT, IDLE, REDIS };
static const char *const mode_names[] = {"simple",  "extended", "prepared",
                                         "connect", "idle",     "redis"};

#define MAX_DEPTH 256

struct bytes {
    uint8_t *ptr;
    size_t len, room;
};

struct conn {
    int fd;
    bool ready; /* logged in, and prepared where asked */
    struct bytes out;
    uint8_t head[5];
    unsigned head_len;
    size_t skip; /* what is left of the message in hand */
    uint8_t first[256];
    size_t first_len;
    int64_t sent_us[MAX_DEPTH]; /* a ring: when each request in flight was sent */
    unsigned oldest, flying;
    unsigned redis_skip_line;
};

static struct {
    const char *host, *user, *database, *sql;
    int port, connections, depth;
    double seconds;
    long queries;
    long max_param;
    size_t value_bytes;
    enum mode mode;
    bool stdin_ends;
} opt = {.host = "127.0.0.1",
         .user = "postgres",
         .database = "postgres",
         .sql = "SELECT 1",
         .port = 5432,
         .connections = 1,
         .depth = 1,
         .seconds = 1,
         .queries = -1,
         .value_bytes = 1};

static int ep;
static struct conn *conns;
static struct sockaddr_in target;
static uint32_t *samples;
static size_t samples_count;
#define SAMPLES_MAX ((size_t)1 << 23)
static long done, errors, started;
static int ready_count;
static int64_t end_us, begin_us, last_us, received;
static uint64_t seed = 88172645463325252ULL;

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t dice(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void put(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->room) {
        b->room = (b->len + len) * 2 + 256;
        b->ptr = realloc(b->ptr, b->room);
        if (b->ptr == NULL) { abort(); }
    }
    if (len > 0) { memcpy(b->ptr + b->len, data, len); }
    b->len += len;
}

static void put32(struct bytes *b, uint32_t v)
{
    v = htonl(v);
    put(b, &v, 4);
}

static void put16(struct bytes *b, uint16_t v)
{
    v = htons(v);
    put(b, &v, 2);
}

static void puts0(struct bytes *b, const char *s)
{
    put(b, s, strlen(s) + 1);
}

/* Starts a message; the length is filled in by close_message(). */
static size_t open_message(struct bytes *b, char type)
{
    put(b, &type, 1);
    put32(b, 0);
    return b->len - 4;
}

static void close_message(struct bytes *b, size_t mark)
{
    uint32_t len = htonl((uint32_t)(b->len - mark));
    memcpy(b->ptr + mark, &len, 4);
}

static size_t parameter(char *text, size_t room)
{
    long v = opt.max_param > 0 ? 1 + (long)(dice() % (uint64_t)opt.max_param) : 1;
    return (size_t)snprintf(text, room, "%ld", v);
}

static void put_simple(struct bytes *b)
{
    size_t m = open_message(b, 'Q');
    const char *hole = strstr(opt.sql, "$1");
    if (hole == NULL) {
        puts0(b, opt.sql);
    } else {
        char text[24];
        put(b, opt.sql, (size_t)(hole - opt.sql));
        put(b, text, parameter(text, sizeof text));
        puts0(b, hole + 2);
    }
    close_message(b, m);
}

static void put_parse(struct bytes *b, const char *name)
{
    size_t m = open_message(b, 'P');
    puts0(b, name);
    puts0(b, opt.sql);
    put16(b, 0);
    close_message(b, m);
}

static void put_sync(struct bytes *b)
{
    close_message(b, open_message(b, 'S'));
}

/* Bind, Describe, Execute, Sync: what libpq sends for PQexecParams and PQexecPrepared. */
static void put_execute(struct bytes *b, const char *name)
{
    size_t m = open_message(b, 'B');
    puts0(b, "");
    puts0(b, name);
    put16(b, 0);
    if (strstr(opt.sql, "$1") != NULL) {
        char text[24];
        size_t len = parameter(text, sizeof text);
        put16(b, 1);
        put32(b, (uint32_t)len);
        put(b, text, len);
    } else {
        put16(b, 0);
    }
    put16(b, 0);
    close_message(b, m);
    m = open_message(b, 'D');
    put(b, "P", 1);
    puts0(b, "");
    close_message(b, m);
    m = open_message(b, 'E');
    puts0(b, "");
    put32(b, 0);
    close_message(b, m);
    put_sync(b);
}

static void put_request(struct bytes *b)
{
    switch (opt.mode) {
    case SIMPLE: put_simple(b); break;
    case EXTENDED:
        put_parse(b, "");
        put_execute(b, "");
        break;
    case PREPARED: put_execute(b, "load_1"); break;
    case REDIS: put(b, "*2\r\n$3\r\nGET\r\n$8\r\nload:key\r\n", 27); break;
    case CONNECT:
    case IDLE: break;
    }
}

static void flush(struct conn *c)
{
    size_t at = 0;
    while (at < c->out.len) {
        ssize_t sent = send(c->fd, c->out.ptr + at, c->out.len - at, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) { continue; } /* requests are small: the other side reads soon */
            fail("send");
        }
        at += (size_t)sent;
    }
    c->out.len = 0;
}

static bool over(void)
{
    return (opt.queries >= 0 && started >= opt.queries) || last_us >= end_us;
}

/* Sends up to count more requests in one write. */
static void ask(struct conn *c, unsigned count)
{
    for (; count > 0 && !over(); count--) {
        put_request(&c->out);
        c->sent_us[(c->oldest + c->flying) % MAX_DEPTH] = last_us;
        c->flying++;
        started++;
    }
    flush(c);
}

static void open_conn(struct conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&target, sizeof target) != 0) {
        fail("connect");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) != 0) { fail("epoll_ctl"); }
    if (opt.mode == REDIS) { return; }
    put32(&c->out, 0);
    put32(&c->out, 196608);
    puts0(&c->out, "user");
    puts0(&c->out, opt.user);
    puts0(&c->out, "database");
    puts0(&c->out, opt.database);
    puts0(&c->out, "");
    uint32_t len = htonl((uint32_t)c->out.len);
    memcpy(c->out.ptr, &len, 4);
    if (opt.mode == CONNECT) {
        c->sent_us[0] = last_us;
        started++;
    }
    flush(c);
}

static void reopen(struct conn *c)
{
    close(c->fd);
    struct bytes out = c->out;
    memset(c, 0, sizeof *c);
    c->out = out;
    open_conn(c);
}

static void took(int64_t us)
{
    if (samples_count < SAMPLES_MAX) { samples[samples_count++] = (uint32_t)us; }
    done++;
}

/* The end of one answer: take its time, and remember that one more may be asked. */
static void answered(struct conn *c, unsigned *free_slots)
{
    took(last_us - c->sent_us[c->oldest]);
    c->oldest = (c->oldest + 1) % MAX_DEPTH;
    c->flying--;
    (*free_slots)++;
}

/* ReadyForQuery: of the login, of the Parse of "prepared", or of a request. */
static void on_ready(struct conn *c, unsigned *free_slots)
{
    if (c->ready) {
        answered(c, free_slots);
        return;
    }
    if (opt.mode == PREPARED && c->flying == 0) {
        c->flying = 1; /* the Parse itself */
        put_parse(&c->out, "load_1");
        put_sync(&c->out);
        flush(c);
        return;
    }
    c->flying = 0;
    c->ready = true;
    ready_count++;
}

static void on_message(struct conn *c, unsigned *free_slots)
{
    if (c->head[0] == 'Z') { on_ready(c, free_slots); }
    if (c->head[0] == 'E') {
        if (errors++ == 0) {
            fprintf(stderr, "load: the server says: ");
            for (size_t i = 0; i < c->first_len; i++) {
                fputc(c->first[i] >= ' ' ? c->first[i] : ' ', stderr);
            }
            fputc('\n', stderr);
        }
    }
    if (c->head[0] == 'R' && c->first_len >= 4 && memcmp(c->first, "\0\0\0\0", 4) != 0) {
        fprintf(stderr, "load: only trust authentication is spoken here\n");
        exit(1);
    }
}

static void read_postgres(struct conn *c, const uint8_t *p, size_t len, unsigned *free_slots)
{
    while (len > 0) {
        if (c->head_len < 5) {
            c->head[c->head_len++] = *p++;
            len--;
            if (c->head_len < 5) { continue; }
            uint32_t n;
            memcpy(&n, c->head + 1, 4);
            c->skip = ntohl(n) - 4;
            c->first_len = 0;
        }
        size_t part = len < c->skip ? len : c->skip;
        size_t keep = sizeof c->first - c->first_len;
        keep = keep < part ? keep : part;
        memcpy(c->first + c->first_len, p, keep);
        c->first_len += keep;
        c->skip -= part;
        p += part;
        len -= part;
        if (c->skip == 0) {
            c->head_len = 0;
            on_message(c, free_slots);
        }
    }
}

/* Answers of GET are "$N\r\n" and N + 2 bytes; c->skip counts these down. */
static void read_redis(struct conn *c, const uint8_t *p, size_t len, unsigned *free_slots)
{
    while (len > 0) {
        if (c->skip > 0) {
            size_t part = len < c->skip ? len : c->skip;
            c->skip -= part;
            p += part;
            len -= part;
            if (c->skip == 0) { answered(c, free_slots); }
            continue;
        }
        uint8_t b = *p++;
        len--;
        if (b == '$') {
            c->first_len = 0;
        } else if (b == '\n') {
            c->first[c->first_len] = '\0';
            c->skip = strtoul((char *)c->first, NULL, 10) + 2;
        } else if (b != '\r' && c->first_len < 20) {
            c->first[c->first_len++] = b;
        }
    }
}

static void set_redis_value(void)
{
    struct conn c = {0};
    uint8_t reply[16];
    char head[80];
    open_conn(&c);
    put(&c.out, head,
        (size_t)snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$8\r\nload:key\r\n$%zu\r\n",
                         opt.value_bytes));
    for (size_t i = 0; i < opt.value_bytes; i++) { put(&c.out, "1", 1); }
    put(&c.out, "\r\n", 2);
    flush(&c);
    if (recv(c.fd, reply, sizeof reply, 0) < 3 || reply[0] != '+') { fail("SET"); }
    close(c.fd);
    free(c.out.ptr);
}

static void turn_conn(struct conn *c)
{
    static uint8_t bytes[262144];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);
    if (got <= 0) {
        errno = got == 0 ? ECONNRESET : errno;
        fail("recv");
    }
    received += got;
    unsigned free_slots = 0;
    if (opt.mode == REDIS) {
        read_redis(c, bytes, (size_t)got, &free_slots);
    } else {
        read_postgres(c, bytes, (size_t)got, &free_slots);
    }
    if (opt.mode == CONNECT && c->ready) {
        ready_count--;
        took(last_us - c->sent_us[0]);
        if (!over()) {
            reopen(c);
        } else {
            epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
        }
    } else if (free_slots > 0) {
        ask(c, free_slots);
    }
}

static void turn(int timeout_ms)
{
    struct epoll_event evs[512];
    int n = epoll_wait(ep, evs, 512, timeout_ms);
    last_us = now_us();
    for (int i = 0; i < n; i++) {
        if (evs[i].data.ptr != NULL) { turn_conn(evs[i].data.ptr); }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(void)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    double seconds = (double)(last_us - begin_us) / 1e6;
    qsort(samples, samples_count, sizeof *samples, by_value);
#define AT(q) (samples_count == 0 ? 0 : samples[(size_t)((double)(samples_count - 1) * (q))])
    printf(
        "mode=%s connections=%d depth=%d queries=%ld errors=%ld seconds=%.3f qps=%.0f bytes=%lld "
        "p50_us=%u p90_us=%u p99_us=%u max_us=%u load_cpu_us=%lld\n",
        mode_names[opt.mode], opt.connections, opt.depth, done, errors, seconds,
        seconds > 0 ? (double)done / seconds : 0, (long long)received, AT(0.5), AT(0.9), AT(0.99),
        AT(1.0),
        (long long)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 + ru.ru_utime.tv_usec +
            ru.ru_stime.tv_usec);
#undef AT
    fflush(stdout);
}

static void read_options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "h:p:U:d:m:c:f:t:n:q:P:s:x")) != -1) {
        switch (o) {
        case 'h': opt.host = optarg; break;
        case 'p': opt.port = (int)strtol(optarg, NULL, 10); break;
        case 'U': opt.user = optarg; break;
        case 'd': opt.database = optarg; break;
        case 'c': opt.connections = (int)strtol(optarg, NULL, 10); break;
        case 'f': opt.depth = (int)strtol(optarg, NULL, 10); break;
        case 't': opt.seconds = strtod(optarg, NULL); break;
        case 'n': opt.queries = strtol(optarg, NULL, 10); break;
        case 'q': opt.sql = optarg; break;
        case 'P': opt.max_param = strtol(optarg, NULL, 10); break;
        case 's': opt.value_bytes = strtoul(optarg, NULL, 10); break;
        case 'x': opt.stdin_ends = true; break;
        case 'm':
            for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++) {
                if (strcmp(optarg, mode_names[i]) == 0) { opt.mode = (enum mode)i; }
            }
            break;
        default: exit(2);
        }
    }
    if (opt.depth < 1 || opt.depth > MAX_DEPTH || opt.connections < 1) {
        fprintf(stderr, "load: -f is between 1 and %d, -c at least 1\n", MAX_DEPTH);
        exit(2);
    }
}

/* All connections open and logged in; says so, and stays until told on stdin. */
static void stay_idle(void)
{
    printf("idle=%d\n", opt.connections);
    fflush(stdout);
    if (opt.stdin_ends) {
        char line[8];
        if (fgets(line, sizeof line, stdin) == NULL) { return; }
    } else {
        sleep((unsigned)opt.seconds + 1);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    target.sin_family = AF_INET;
    target.sin_port = htons((uint16_t)opt.port);
    if (inet_pton(AF_INET, opt.host, &target.sin_addr) != 1) { fail("-h wants an IPv4 address"); }
    samples = malloc(SAMPLES_MAX * sizeof *samples);
    conns = calloc((size_t)opt.connections, sizeof *conns);
    if (samples == NULL || conns == NULL) { abort(); }
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (opt.mode == REDIS) { set_redis_value(); }
    begin_us = last_us = now_us();
    end_us = INT64_MAX;
    if (opt.mode == CONNECT) { end_us = begin_us + (int64_t)(opt.seconds * 1e6); }
    for (int i = 0; i < opt.connections; i++) {
        open_conn(&conns[i]);
        if (i % 64 == 63 && opt.mode != CONNECT) { turn(0); }
    }
    if (opt.mode != REDIS && opt.mode != CONNECT) {
        while (ready_count < opt.connections) { turn(-1); }
    }
    if (opt.mode == IDLE) {
        stay_idle();
        return 0;
    }
    if (opt.mode != CONNECT) {
        begin_us = last_us = now_us();
        end_us = begin_us + (int64_t)(opt.seconds * 1e6);
        received = 0;
        for (int i = 0; i < opt.connections; i++) { ask(&conns[i], (unsigned)opt.depth); }
    }
    while (done < started) { turn(-1); }
    report();
    return errors > 0;
}
