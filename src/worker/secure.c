/* client_tls_* and server_tls_* become contexts; a mark over options and files says what changed.
 */
#include "worker/secure.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/siphash.h"
#include "config/protocols.h"

/* What cannot be read adds nothing: loading it says why. */
static void add_file(struct buf *to, const char *path)
{
    FILE *f = path[0] == '\0' ? NULL : fopen(path, "rb");
    buf_put_str(to, path);
    if (f == NULL) { return; }
    size_t got;
    do {
        uint8_t *at = buf_reserve(to, 4096);
        got = fread(at, 1, 4096, f);
        to->end += got;
    } while (got > 0);
    (void)fclose(f);
}

static uint64_t make_mark(const struct tls_settings *s)
{
    const char *const words[] = {s->ciphers, s->tls13_ciphers, s->ecdhcurve, s->dheparams};
    const char *const files[] = {s->cert_file, s->key_file, s->ca_file, s->crl_file};
    struct buf all = {0};
    buf_put_u8(&all, (uint8_t)s->check);
    buf_put(&all, s->tls1, sizeof s->tls1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) { buf_put_str(&all, words[i]); }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) { add_file(&all, files[i]); }
    uint64_t mark = siphash(siphash_process_key(), buf_view(&all));
    mem_wipe(all.data, all.cap); /* a private key was in it */
    buf_done(&all);
    return mark;
}

static enum err read_protocols(struct tls_settings *s, const char *words, struct fault *why)
{
    struct protocols protocols;
    const char *reason;
    if (protocols_read(words, &protocols, &reason) != E_OK) {
        return fault_set(why, E_CONFIG, "%s_protocols %s: %s", s->side, words, reason);
    }
    memcpy(s->tls1, protocols.tls1, sizeof s->tls1);
    return E_OK;
}

static enum err load_side(struct tls_settings *s, const char *protocols, bool on,
                          struct tls_context *old, uint64_t old_mark, struct tls_context **ret,
                          uint64_t *ret_mark, struct fault *why)
{
    *ret = NULL;
    *ret_mark = 0;
    if (!on) { return E_OK; }
    enum err e = read_protocols(s, protocols, why);
    if (e != E_OK) { return e; }
    *ret_mark = make_mark(s);
    if (old != NULL && *ret_mark == old_mark) {
        *ret = tls_context_ref(old);
        return E_OK;
    }
    return tls_context_new(s, ret, why);
}

enum err secured_load(const struct config *cfg, const struct secured *old, struct secured *ret,
                      struct fault *why)
{
    const struct options *o = &cfg->o;
    struct tls_settings clients = {
        .server = true,
        .side = "client_tls",
        .check = o->client_tls_sslmode >= TLS_VERIFY_CA ? TLS_CHECK_CHAIN
                 : o->client_tls_ca_file[0] != '\0'     ? TLS_CHECK_GIVEN
                                                        : TLS_CHECK_NONE,
        .cert_file = o->client_tls_cert_file,
        .key_file = o->client_tls_key_file,
        .ca_file = o->client_tls_ca_file,
        .crl_file = o->client_tls_crl_file,
        .ciphers = o->client_tls_ciphers,
        .tls13_ciphers = o->client_tls13_ciphers,
        .ecdhcurve = o->client_tls_ecdhcurve,
        .dheparams = o->client_tls_dheparams,
    };
    struct tls_settings servers = {
        .side = "server_tls",
        .check = o->server_tls_sslmode == TLS_VERIFY_FULL ? TLS_CHECK_NAME
                 : o->server_tls_sslmode == TLS_VERIFY_CA ? TLS_CHECK_CHAIN
                                                          : TLS_CHECK_NONE,
        .cert_file = o->server_tls_cert_file,
        .key_file = o->server_tls_key_file,
        .ca_file = o->server_tls_ca_file,
        .crl_file = o->server_tls_crl_file,
        .ciphers = o->server_tls_ciphers,
        .tls13_ciphers = o->server_tls13_ciphers,
        .ecdhcurve = "auto",
        .dheparams = "auto",
    };
    struct secured s = {0};
    enum err e = load_side(&clients, o->client_tls_protocols, o->client_tls_sslmode != TLS_DISABLE,
                           old->clients, old->clients_mark, &s.clients, &s.clients_mark, why);
    if (e == E_OK) {
        e = load_side(&servers, o->server_tls_protocols, o->server_tls_sslmode != TLS_DISABLE,
                      old->servers, old->servers_mark, &s.servers, &s.servers_mark, why);
    }
    if (e != E_OK) {
        secured_done(&s);
        return e;
    }
    *ret = s;
    return E_OK;
}

void secured_done(struct secured *s)
{
    tls_context_unref(&s->clients);
    tls_context_unref(&s->servers);
}
