/* uv_getaddrinfo with an owner that can let go, behind what is remembered of names. */
#include "net/resolve.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct resolve {
    uv_getaddrinfo_t request;
    struct names *names; /* may be NULL */
    char *host;
    int port;
    void (*done)(void *arg, const struct address *a);
    void *arg;
};

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *answer)
{
    struct resolve *r = container_of(request, struct resolve, request);
    struct address list[NAMES_ADDRESSES] = {0}, a = {0};
    unsigned count = 0;
    for (struct addrinfo *ai = answer; status == 0 && ai != NULL; ai = ai->ai_next) {
        if (count == NAMES_ADDRESSES) { break; }
        memcpy(&list[count].room, ai->ai_addr, ai->ai_addrlen);
        list[count++].len = ai->ai_addrlen;
    }
    if (answer != NULL) { uv_freeaddrinfo(answer); }
    bool found = count > 0;
    if (found) { a = list[0]; }
    if (r->names != NULL && status != UV_ECANCELED) {
        int64_t now_us = clock_now_us();
        names_learn(r->names, r->host, list, count, now_us);
        found = names_find(r->names, r->host, now_us, &a) == E_OK || found;
    }
    address_set_port(&a, r->port);
    if (r->done != NULL) { r->done(r->arg, found ? &a : NULL); }
    mem_free(&r->host);
    mem_free(&r);
}

static struct resolve *start(struct loop *l, const char *host, int port)
{
    struct resolve *r = mem_new(struct resolve);
    r->names = l->names;
    r->host = mem_strdup(host);
    r->port = port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (uv_getaddrinfo(&l->uv, &r->request, on_resolved, host, NULL, &hints) == 0) { return r; }
    mem_free(&r->host);
    mem_free(&r);
    return NULL;
}

enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                       void (*done)(void *arg, const struct address *a), void *arg,
                       struct resolve **ret_pending)
{
    if (host[0] == '/' || host[0] == '@') {
        return address_unix(ret, host, port) ? E_OK : E_CONFIG;
    }
    if (address_numeric(ret, host, port)) { return E_OK; }
    enum err e = l->names == NULL ? E_AGAIN : names_find(l->names, host, clock_now_us(), ret);
    if (e == E_OK) { address_set_port(ret, port); }
    if (e != E_AGAIN) { return e; }
    struct resolve *r = start(l, host, port);
    if (r == NULL) { return E_NOTFOUND; }
    r->done = done;
    r->arg = arg;
    *ret_pending = r;
    return E_AGAIN;
}

void resolve_refresh(struct loop *l, const char *host)
{
    if (l->names != NULL && names_is_due(l->names, host, clock_now_us())) {
        (void)start(l, host, 0);
    }
}

void resolve_forget(struct resolve **r)
{
    if (*r != NULL) {
        (*r)->done = NULL;
        (void)uv_cancel((uv_req_t *)&(*r)->request);
    }
    *r = NULL;
}
