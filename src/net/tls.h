/*
 * TLS as a machine of bytes: what came from the wire goes in, what must go to the wire comes out,
 * and nothing here knows a socket, so one read and one write carry any number of records. stream.c
 * puts it on a socket. Contexts are what a configuration says: immutable, counted, any thread.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

enum tls_check { /* of the peer's certificate */
                 TLS_CHECK_NONE,
                 TLS_CHECK_GIVEN, /* server side: asked for, and believed only if it is good */
                 TLS_CHECK_CHAIN, /* must be there and signed by the authorities */
                 TLS_CHECK_NAME,  /* ... and be that host's */
};

struct tls_settings { /* texts never NULL; "" is none. Borrowed for the call */
    bool server;      /* we are the TLS server */
    const char *side; /* the options' common beginning, for errors: "client_tls" */
    enum tls_check check;
    const char *cert_file, *key_file, *ca_file, *crl_file;
    bool tls1[4];                        /* [n]: TLS 1.n may be spoken; one of them at least */
    const char *ciphers, *tls13_ciphers; /* as the options are written */
    const char *ecdhcurve, *dheparams;
};

struct tls_context;
/* Errors: E_CONFIG, E_IO with the option, the file and OpenSSL's reason. */
MUST_USE enum err tls_context_new(const struct tls_settings *from, struct tls_context **ret,
                                  struct fault *why);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context **c);

enum {
    TLS_BINDING_MOST = 64,
    TLS_RECORD_MOST = 16384 + 1024, /* one record that waited in here for its end */
};

struct tls; /* one connection's */

/* host: towards a server, whom the certificate must name (TLS_CHECK_NAME) and SNI says; or NULL. */
struct tls *tls_new(struct tls_context *c, const char *host);
void tls_free(struct tls **t);

/*
 * raw: what came; all of it is taken. out: appended to, also on failure (the alert). E_OK: done;
 * what came behind the handshake is still inside: tls_open() gives it. E_AGAIN: more is needed.
 * E_PROTOCOL, E_AUTH (a certificate): why, and the connection is of no more use.
 */
MUST_USE enum err tls_handshake(struct tls *t, struct bytes raw, struct buf *out,
                                struct fault *why);
bool tls_is_ready(const struct tls *t);
/*
 * Opens all complete records of raw into to[0..*ret_len); room: raw.len + TLS_RECORD_MOST. An
 * incomplete one is kept inside. E_OK; E_EOF: the peer said that it ends, after those bytes; E_IO:
 * forged or broken, nothing of it may be used.
 */
MUST_USE enum err tls_open(struct tls *t, struct bytes raw, uint8_t *to, size_t room,
                           size_t *ret_len, struct buf *out);
/* Appends records of at most 16 KiB. False: the connection is of no more use. */
MUST_USE bool tls_seal(struct tls *t, struct bytes plain, struct buf *out);
/* Says to the peer that no more comes. */
void tls_end(struct tls *t, struct buf *out);

/* ---- after the handshake; NULL-safe where a connection may have no TLS */
/* "TLSv1.3/TLS_AES_256_GCM_SHA384/ECDH=X25519"; "" without TLS. */
const char *tls_label(const struct tls *t);
/* The common name in the peer's certificate, if that is good by our authorities; else NULL. */
const char *tls_peer_name(const struct tls *t);
/* ALPN agreed on "postgresql". */
bool tls_has_alpn(const struct tls *t);
/* This connection goes on where an earlier one of the peer ended. */
bool tls_is_resumed(const struct tls *t);
/*
 * tls-server-end-point (RFC 5929): the hash of the server's certificate. Returns its length; 0:
 * there is none for this kind of certificate, or no TLS.
 */
size_t tls_binding(const struct tls *t, uint8_t ret[TLS_BINDING_MOST]);
