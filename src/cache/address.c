/* Taking redis_url apart. */
#include "cache/address.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PORT_DEFAULT 6379
#define NUMBER_MAX   65535

static bool read_number(const char *text, int max, int *ret)
{
    if (!isdigit((unsigned char)text[0]) || strlen(text) > 5) { return false; }
    char *end = NULL;
    long v = strtol(text, &end, 10);
    if (*end != '\0' || v > max) { return false; }
    *ret = (int)v;
    return true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') { return c - '0'; }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; false for a broken escape or a zero byte. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex(from[1]), low = high < 0 ? -1 : hex(from[2]);
        if (low < 0 || (high == 0 && low == 0)) { return false; }
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return true;
}

/* [user]:password, or a password alone. */
static bool read_login(char *text, struct redis_address *a)
{
    char *colon = strchr(text, ':');
    char *password = colon == NULL ? text : colon + 1;
    if (colon != NULL) { *colon = '\0'; }
    if (!decode(password) || (colon != NULL && !decode(text))) { return false; }
    a->password = mem_strdup(password);
    if (colon != NULL && text[0] != '\0') { a->user = mem_strdup(text); }
    return true;
}

/* host, host:port, [v6], [v6]:port */
static bool read_host(char *text, struct redis_address *a)
{
    char *port = NULL;
    a->port = PORT_DEFAULT;
    if (text[0] == '[') {
        char *end = strchr(++text, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0')) { return false; }
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if ((port = strchr(text, ':')) != NULL) {
        *port++ = '\0';
    }
    if (text[0] == '\0' ||
        (port != NULL && (!read_number(port, 65535, &a->port) || a->port == 0))) {
        return false;
    }
    a->host = mem_strdup(text);
    return true;
}

static bool read_tcp(char *text, struct redis_address *a)
{
    char *slash = strrchr(text, '/');
    char *at = strrchr(text, '@');
    if (slash != NULL && (at == NULL || slash > at)) {
        *slash = '\0';
        if (slash[1] != '\0' && !read_number(slash + 1, NUMBER_MAX, &a->number)) { return false; }
    }
    if (at != NULL) {
        *at = '\0';
        if (!read_login(text, a)) { return false; }
        text = at + 1;
    }
    return read_host(text, a);
}

static bool read_unix(char *text, struct redis_address *a)
{
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = '\0';
        if (strncmp(query, "db=", 3) != 0 || !read_number(query + 3, NUMBER_MAX, &a->number)) {
            return false;
        }
    }
    if (text[0] != '/' || !decode(text) || strlen(text) > 107) { return false; }
    a->path = mem_strdup(text);
    return true;
}

enum err redis_address_read(const char *url, struct redis_address **ret, struct fault *why)
{
    static const char tcp[] = "redis://", local[] = "unix://";
    struct redis_address *a = mem_new(struct redis_address);
    char *copy = mem_strdup(url);
    bool good = false;
    if (strncmp(copy, tcp, strlen(tcp)) == 0) {
        good = read_tcp(copy + strlen(tcp), a);
    } else if (strncmp(copy, local, strlen(local)) == 0) {
        good = read_unix(copy + strlen(local), a);
    }
    mem_wipe(copy, strlen(url));
    mem_free(&copy);
    if (!good) {
        redis_address_free(&a);
        return fault_set(why, E_CONFIG,
                         "redis_url: redis://[[user]:password@]host[:port][/number] or "
                         "unix:///path[?db=number] expected");
    }
    *ret = a;
    return E_OK;
}

void redis_address_free(struct redis_address **a)
{
    if (*a == NULL) { return; }
    if ((*a)->password != NULL) { mem_wipe((*a)->password, strlen((*a)->password)); }
    mem_free(&(*a)->host);
    mem_free(&(*a)->path);
    mem_free(&(*a)->user);
    mem_free(&(*a)->password);
    mem_free(a);
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
    if (a == NULL || b == NULL) { return a == b; }
    return same(a->host, b->host) && a->port == b->port && same(a->path, b->path) &&
           same(a->user, b->user) && same(a->password, b->password) && a->number == b->number;
}
