/*
 * From options to an SSL_CTX. Everything that a file or a word can be wrong in is found here,
 * before a connection uses it.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static const unsigned char alpn[] = "\x0apostgresql"; /* IANA's name, length first */

const char *tls_reason(void)
{
    unsigned long first = ERR_peek_error(); /* the cause; what comes after it is less exact */
    const char *reason =
        ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(first);
    ERR_clear_error();
    return reason == NULL ? "unknown reason" : reason;
}

static enum err fail(const struct tls_settings *s, const char *option, const char *value,
                     const char *reason, struct fault *why)
{
    return fault_set(why, E_CONFIG, "%s_%s %s: %s", s->side, option, value, reason);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void set_versions(SSL_CTX *ssl, const struct tls_settings *s)
{
    static const uint64_t off[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2,
                                   SSL_OP_NO_TLSv1_3};
    _Static_assert(sizeof off / sizeof off[0] == sizeof s->tls1 / sizeof s->tls1[0], "each");
    int least = 0;
    while (!s->tls1[least]) { least++; }
    (void)SSL_CTX_set_min_proto_version(ssl, TLS1_VERSION + least);
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        if (!s->tls1[i]) { (void)SSL_CTX_set_options(ssl, off[i]); }
    }
}

static const char *cipher_list(const char *word)
{
    static const char *const names[][2] = {
        {"default", "HIGH:!aNULL"},   {"secure", "HIGH:!aNULL"},
        {"normal", "HIGH:!aNULL"},    {"fast", "HIGH:!aNULL"},
        {"compat", "HIGH:!aNULL"},    {"legacy", "HIGH:MEDIUM:!aNULL"},
        {"all", "ALL:!aNULL:!eNULL"}, {"insecure", "ALL:!aNULL:!eNULL"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(names[i][0], word) == 0) { return names[i][1]; }
    }
    return word;
}

static enum err set_ciphers(SSL_CTX *ssl, const struct tls_settings *s, struct fault *why)
{
    bool no_curve = strcasecmp(s->ecdhcurve, "none") == 0;
    bool no_dhe = strcasecmp(s->dheparams, "none") == 0;
    char *list = mem_printf("%s%s%s", cipher_list(s->ciphers), no_curve ? ":!kECDHE" : "",
                            no_dhe ? ":!kDHE" : "");
    int ok = SSL_CTX_set_cipher_list(ssl, list);
    mem_free(&list);
    if (ok != 1) { return fail(s, "ciphers", s->ciphers, tls_reason(), why); }
    if (s->tls13_ciphers[0] != '\0' && SSL_CTX_set_ciphersuites(ssl, s->tls13_ciphers) != 1) {
        return fault_set(why, E_CONFIG, "%s13_ciphers %s: %s", s->side, s->tls13_ciphers,
                         tls_reason());
    }
    return E_OK;
}

static enum err set_exchange(SSL_CTX *ssl, const struct tls_settings *s, struct fault *why)
{
    const char *curve = s->ecdhcurve;
    if (curve[0] != '\0' && strcasecmp(curve, "auto") != 0 && strcasecmp(curve, "none") != 0) {
        char *list = mem_strdup(curve);
        for (char *p = list; *p != '\0'; p++) {
            if (*p == ',') { *p = ':'; }
        }
        int ok = SSL_CTX_set1_groups_list(ssl, list);
        mem_free(&list);
        if (ok != 1) {
            return fail(s, "ecdhcurve", curve, "expected auto, none or curves that OpenSSL knows",
                        why);
        }
    }
    const char *dhe = s->dheparams;
    bool none = strcasecmp(dhe, "none") == 0;
    if (!none && dhe[0] != '\0' && strcasecmp(dhe, "auto") != 0 && strcasecmp(dhe, "legacy") != 0) {
        return fail(s, "dheparams", dhe, "expected auto, legacy or none", why);
    }
    (void)SSL_CTX_set_dh_auto(ssl, none ? 0 : 1);
    return E_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Nobody is there to be asked for the password of a key. */
static int no_password(char *to, int size, int writing, void *arg)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static enum err load_certificate(SSL_CTX *ssl, const struct tls_settings *s, struct fault *why)
{
    bool cert = s->cert_file[0] != '\0', key = s->key_file[0] != '\0';
    if (!cert && !key && !s->server) { return E_OK; }
    if (!cert || !key) {
        return fault_set(why, E_CONFIG, "%s_%s must be set%s", s->side,
                         cert ? "key_file" : "cert_file",
                         s->server ? " for TLS with clients" : ", as the other one of the pair is");
    }
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    if (SSL_CTX_use_certificate_chain_file(ssl, s->cert_file) != 1) {
        return fail(s, "cert_file", s->cert_file, tls_reason(), why);
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, s->key_file, SSL_FILETYPE_PEM) != 1) {
        return fail(s, "key_file", s->key_file, tls_reason(), why);
    }
    return E_OK;
}

static enum err load_authorities(SSL_CTX *ssl, const struct tls_settings *s, struct fault *why)
{
    if (s->ca_file[0] == '\0') {
        if (s->crl_file[0] != '\0') {
            return fault_set(why, E_CONFIG, "%s_ca_file must be set, as %s_crl_file is", s->side,
                             s->side);
        }
        if (s->check >= TLS_CHECK_CHAIN) {
            return fault_set(why, E_CONFIG, "%s_ca_file must be set to verify certificates",
                             s->side);
        }
        return E_OK;
    }
    if (SSL_CTX_load_verify_file(ssl, s->ca_file) != 1) {
        return fail(s, "ca_file", s->ca_file, tls_reason(), why);
    }
    if (s->server && s->check != TLS_CHECK_NONE) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(s->ca_file);
        if (names == NULL) { return fail(s, "ca_file", s->ca_file, tls_reason(), why); }
        SSL_CTX_set_client_CA_list(ssl, names);
    }
    if (s->crl_file[0] != '\0') {
        X509_STORE *store = SSL_CTX_get_cert_store(ssl);
        X509_LOOKUP *files = X509_STORE_add_lookup(store, X509_LOOKUP_file());
        if (files == NULL || X509_load_crl_file(files, s->crl_file, X509_FILETYPE_PEM) <= 0) {
            return fail(s, "crl_file", s->crl_file, tls_reason(), why);
        }
        (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    return E_OK;
}

/* ---- the handshake's choices ------------------------------------------------------------------
 */

/* A certificate that was not demanded does not end the login; tls_peer_name() looks at the verdict.
 */
static int accept_any(int ok, X509_STORE_CTX *chain)
{
    (void)ok;
    (void)chain;
    return 1;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    unsigned char *chosen = NULL;
    int found = SSL_select_next_proto(&chosen, out_len, alpn, sizeof alpn - 1, in, in_len);
    *out = chosen;
    /* The name of another protocol: somebody sent him to the wrong port (ALPACA). */
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_checks(SSL_CTX *ssl, const struct tls_settings *s)
{
    switch (s->check) {
    case TLS_CHECK_NONE: SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL); break;
    case TLS_CHECK_GIVEN: SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, accept_any); break;
    case TLS_CHECK_CHAIN:
    case TLS_CHECK_NAME:
        SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        break;
    }
}

static void set_ways(SSL_CTX *ssl, bool server)
{
    /* Idle connections hold no record buffers. */
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (server) {
        /* Resumption by tickets only: nothing is kept here, and the key dies with this context, so
           that a certificate that a reload no longer accepts cannot come back by a ticket. */
        static const unsigned char name[] = "pgusher";
        (void)SSL_CTX_set_session_id_context(ssl, name, sizeof name - 1);
        (void)SSL_CTX_set_num_tickets(ssl, 1);
        SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    } else {
        (void)SSL_CTX_set_alpn_protos(ssl, alpn, sizeof alpn - 1);
    }
}

static enum err make_ssl(const struct tls_settings *s, SSL_CTX **ret, struct fault *why)
{
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(s->server ? TLS_server_method() : TLS_client_method());
    enum err e = ssl == NULL ? fault_set(why, E_CONFIG, "OpenSSL: %s", tls_reason()) : E_OK;
    if (e == E_OK) { set_versions(ssl, s); }
    if (e == E_OK) { e = set_ciphers(ssl, s, why); }
    if (e == E_OK) { e = set_exchange(ssl, s, why); }
    if (e == E_OK) { e = load_certificate(ssl, s, why); }
    if (e == E_OK) { e = load_authorities(ssl, s, why); }
    if (e != E_OK) {
        SSL_CTX_free(ssl);
        return e;
    }
    set_checks(ssl, s);
    set_ways(ssl, s->server);
    *ret = ssl;
    return E_OK;
}

/* ---- at once, or when it is needed ------------------------------------------------------------
 */

/* server_tls_* as they are when nobody says anything: no file, and no word that could be wrong.
   Servers nearby often have no TLS, and OpenSSL takes 2.5 MiB as soon as it is asked for something,
   so these are made into a context when the first server turns out to have it. */
static const struct tls_settings unsaid = {
    .side = "server_tls",
    .check = TLS_CHECK_NONE,
    .cert_file = "",
    .key_file = "",
    .ca_file = "",
    .crl_file = "",
    .tls1 = {false, false, true, true},
    .ciphers = "default",
    .tls13_ciphers = "",
    .ecdhcurve = "auto",
    .dheparams = "auto",
};

static bool is_unsaid(const struct tls_settings *s)
{
    const char *const pairs[][2] = {
        {s->cert_file, unsaid.cert_file}, {s->key_file, unsaid.key_file},
        {s->ca_file, unsaid.ca_file},     {s->crl_file, unsaid.crl_file},
        {s->ciphers, unsaid.ciphers},     {s->tls13_ciphers, unsaid.tls13_ciphers},
        {s->ecdhcurve, unsaid.ecdhcurve}, {s->dheparams, unsaid.dheparams},
    };
    bool same =
        !s->server && s->check == unsaid.check && memcmp(s->tls1, unsaid.tls1, sizeof s->tls1) == 0;
    for (size_t i = 0; same && i < sizeof pairs / sizeof pairs[0]; i++) {
        same = strcmp(pairs[i][0], pairs[i][1]) == 0;
    }
    return same;
}

enum err tls_context_new(const struct tls_settings *s, struct tls_context **ret, struct fault *why)
{
    SSL_CTX *ssl = NULL;
    enum err e = is_unsaid(s) ? E_OK : make_ssl(s, &ssl, why);
    if (e != E_OK) { return e; }
    struct tls_context *c = mem_new(struct tls_context);
    c->refs = 1;
    c->server = s->server;
    c->check = s->check;
    atomic_init(&c->ssl, ssl);
    *ret = c;
    return E_OK;
}

SSL_CTX *tls_context_ssl(struct tls_context *c)
{
    SSL_CTX *there = atomic_load_explicit(&c->ssl, memory_order_acquire), *made = NULL;
    if (there != NULL || make_ssl(&unsaid, &made, NULL) != E_OK) { return there; }
    if (atomic_compare_exchange_strong(&c->ssl, &there, made)) { return made; }
    SSL_CTX_free(made); /* another worker was faster */
    return there;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    (void)__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void tls_context_unref(struct tls_context **pc)
{
    struct tls_context *c = *pc;
    *pc = NULL;
    if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) { return; }
    SSL_CTX_free(atomic_load(&c->ssl));
    mem_free(&c);
}
