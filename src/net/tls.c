/*
 * One connection's SSL on a BIO of our own, which reads from the bytes at hand and appends to the
 * buffer at hand: OpenSSL makes no system call.
 */
#include "net/tls.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/tls_internal.h"

struct tls {
    SSL *ssl;
    struct tls_context *context;
    struct bytes raw; /* what is left to be read; only within a call */
    struct buf *out;  /* where records go; only within a call */
    char *label, *peer_name;
    bool ready;
};

/* ---- the BIO --------------------------------------------------------------------------------- */

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *to, int size)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0) { return 0; }
    size_t n = t->raw.len < (size_t)size ? t->raw.len : (size_t)size;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, t->raw.ptr, n);
    t->raw = bytes_skip(t->raw, n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int size)
{
    struct tls *t = BIO_get_data(bio);
    if (size > 0) { buf_put(t->out, from, (size_t)size); }
    return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* it knows nothing else */
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgusher");
    assert(method != NULL);
    (void)BIO_meth_set_read(method, bio_read);
    (void)BIO_meth_set_write(method, bio_write);
    (void)BIO_meth_set_ctrl(method, bio_control);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_ip(const char *host)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    bool is = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return is;
}

static void expect_host(struct tls *t, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    bool ip = is_ip(host);
    if (!ip) { (void)SSL_set_tlsext_host_name(t->ssl, host); }
    if (t->context->check != TLS_CHECK_NAME) { return; }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int ok = ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                : X509_VERIFY_PARAM_set1_host(param, host, 0);
    assert(ok == 1); /* else nobody's name would be checked */
}

struct tls *tls_new(struct tls_context *c, const char *host)
{
    (void)pthread_once(&method_once, make_method);
    struct tls *t = mem_new(struct tls);
    t->context = tls_context_ref(c);
    SSL_CTX *made = tls_context_ssl(c);
    if (made == NULL) { return t; } /* the handshake says so */
    t->ssl = SSL_new(made);
    BIO *bio = BIO_new(method);
    assert(t->ssl != NULL && bio != NULL);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    if (c->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        assert(host != NULL || c->check != TLS_CHECK_NAME);
        if (host != NULL) { expect_host(t, host); }
    }
    return t;
}

void tls_free(struct tls **pt)
{
    struct tls *t = *pt;
    if (t == NULL) { return; }
    *pt = NULL;
    SSL_free(t->ssl);
    tls_context_unref(&t->context);
    mem_free(&t->label);
    mem_free(&t->peer_name);
    mem_free(&t);
}

/* ---- what was agreed on -----------------------------------------------------------------------
 */

/* A group of finite fields has no short name in OpenSSL, and is told by TLS 1.3 only. */
static void put_exchange(struct buf *to, SSL *ssl)
{
    int group = (int)SSL_get_negotiated_group(ssl);
    const char *name = group == NID_undef ? NULL : OBJ_nid2sn(group);
    if (name != NULL) { buf_printf(to, "/ECDH=%s", name); }
    ERR_clear_error();
}

static char *make_label(SSL *ssl)
{
    struct buf text = {0};
    buf_printf(&text, "%s/%s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    put_exchange(&text, ssl);
    char *label = mem_strdup(buf_text(&text));
    buf_done(&text);
    return label;
}

/* NULL when there is none, or one with a zero in it, which a C string would cut (CVE-2009-4034). */
static char *read_common_name(const X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) { return NULL; }
    unsigned char *text = NULL;
    int len =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    char *name = NULL;
    if (len > 0 && memchr(text, '\0', (size_t)len) == NULL) {
        name = mem_strndup((const char *)text, (size_t)len);
    }
    OPENSSL_free(text);
    return name;
}

static void note_agreement(struct tls *t)
{
    t->ready = true;
    t->label = make_label(t->ssl);
    X509 *peer = SSL_get1_peer_certificate(t->ssl);
    if (peer != NULL && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE &&
        SSL_get_verify_result(t->ssl) == X509_V_OK) {
        t->peer_name = read_common_name(peer);
    }
    X509_free(peer);
}

const char *tls_label(const struct tls *t)
{
    return t == NULL || t->label == NULL ? "" : t->label;
}

const char *tls_peer_name(const struct tls *t)
{
    return t == NULL ? NULL : t->peer_name;
}

bool tls_has_alpn(const struct tls *t)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(t->ssl, &name, &len);
    return bytes_equal(bytes_of(name, len), BYTES("postgresql"));
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

size_t tls_binding(const struct tls *t, uint8_t ret[TLS_BINDING_MOST])
{
    if (t == NULL || !t->ready) { return 0; }
    X509 *peer = t->context->server ? NULL : SSL_get1_peer_certificate(t->ssl);
    X509 *cert = t->context->server ? SSL_get_certificate(t->ssl) : peer;
    int hash = NID_undef;
    unsigned len = 0;
    _Static_assert(EVP_MAX_MD_SIZE <= TLS_BINDING_MOST, "the hash has room");
    if (cert != NULL && X509_get_signature_info(cert, &hash, NULL, NULL, NULL) == 1 &&
        hash != NID_undef) {
        /* RFC 5929, section 4.1: never weaker than SHA-256. */
        if (hash == NID_md5 || hash == NID_sha1) { hash = NID_sha256; }
        const EVP_MD *digest = EVP_get_digestbynid(hash);
        if (digest == NULL || X509_digest(cert, digest, ret, &len) != 1) { len = 0; }
    }
    ERR_clear_error();
    X509_free(peer);
    return len;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static enum err fail_handshake(const struct tls *t, struct fault *why)
{
    long verdict = SSL_get_verify_result(t->ssl);
    bool strict = t->context->check >= TLS_CHECK_CHAIN;
    const char *reason = tls_reason();
    if (strict && verdict != X509_V_OK) {
        return fault_set(why, E_AUTH, "certificate verify failed: %s",
                         X509_verify_cert_error_string(verdict));
    }
    return fault_set(why, E_PROTOCOL, "TLS handshake failed: %s", reason);
}

enum err tls_handshake(struct tls *t, struct bytes raw, struct buf *out, struct fault *why)
{
    if (t->ssl == NULL) { return fault_set(why, E_PROTOCOL, "OpenSSL cannot be set up"); }
    t->raw = raw;
    t->out = out;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    int error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
    t->out = NULL;
    if (rc == 1) {
        note_agreement(t);
        return E_OK; /* t->raw may hold more, which the caller asks for at once */
    }
    t->raw = (struct bytes){0};
    return error == SSL_ERROR_WANT_READ ? E_AGAIN : fail_handshake(t, why);
}

bool tls_is_ready(const struct tls *t)
{
    return t->ready;
}

enum err tls_open(struct tls *t, struct bytes raw, uint8_t *to, size_t room, size_t *ret_len,
                  struct buf *out)
{
    if (raw.len > 0) { t->raw = raw; } /* else: what the handshake left */
    t->out = out;
    size_t len = 0;
    enum err e = E_AGAIN;
    while (e == E_AGAIN) {
        size_t got = 0;
        assert(len < room);
        ERR_clear_error();
        int rc = SSL_read_ex(t->ssl, to + len, room - len, &got);
        len += got;
        if (rc == 1) { continue; }
        switch (SSL_get_error(t->ssl, rc)) {
        case SSL_ERROR_WANT_READ: e = E_OK; break;
        case SSL_ERROR_ZERO_RETURN: e = E_EOF; break;
        default: e = E_IO; break;
        }
    }
    t->raw = (struct bytes){0};
    t->out = NULL;
    ERR_clear_error();
    *ret_len = len;
    return e;
}

bool tls_seal(struct tls *t, struct bytes plain, struct buf *out)
{
    size_t wrote = 0;
    t->out = out;
    ERR_clear_error();
    bool ok = SSL_write_ex(t->ssl, plain.ptr, plain.len, &wrote) == 1 && wrote == plain.len;
    t->out = NULL;
    ERR_clear_error();
    return ok;
}

void tls_end(struct tls *t, struct buf *out)
{
    if (t->ssl == NULL) { return; }
    t->out = out;
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl);
    t->out = NULL;
    ERR_clear_error();
}
