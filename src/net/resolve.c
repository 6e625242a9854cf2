/* uv_getaddrinfo with an owner that can let go. */
#include "net/resolve.h"

#include <string.h>

#include "base/mem.h"

struct resolve {
    uv_getaddrinfo_t request;
    int port;
    void (*done)(void *arg, const struct address *a);
    void *arg;
};

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct resolve *r = container_of(request, struct resolve, request);
    if (r->done != NULL) {
        struct address a = {0};
        if (status == 0 && list != NULL) {
            memcpy(&a.room, list->ai_addr, list->ai_addrlen);
            a.len = list->ai_addrlen;
            address_set_port(&a, r->port);
        }
        r->done(r->arg, a.len == 0 ? NULL : &a);
    }
    if (list != NULL) { uv_freeaddrinfo(list); }
    mem_free(&r);
}

enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                       void (*done)(void *arg, const struct address *a), void *arg,
                       struct resolve **ret_pending)
{
    if (host[0] == '/' || host[0] == '@') {
        return address_unix(ret, host, port) ? E_OK : E_CONFIG;
    }
    if (address_numeric(ret, host, port)) { return E_OK; }
    struct resolve *r = mem_new(struct resolve);
    r->port = port;
    r->done = done;
    r->arg = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (uv_getaddrinfo(&l->uv, &r->request, on_resolved, host, NULL, &hints) != 0) {
        mem_free(&r);
        return E_NOTFOUND;
    }
    *ret_pending = r;
    return E_AGAIN;
}

void resolve_forget(struct resolve **r)
{
    if (*r != NULL) {
        (*r)->done = NULL;
        (void)uv_cancel((uv_req_t *)&(*r)->request);
    }
    *r = NULL;
}
