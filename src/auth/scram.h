/*
 * SCRAM-SHA-256, both sides. Source: RFC 5802, RFC 7677; PostgreSQL manual, "SASL Authentication".
 * Pure but for random nonces and for derived keys, which are kept (keyring.h), so that only the
 * first login with a password costs its thousands of hash rounds.
 *
 * Passwords are normalized before they are hashed, as PostgreSQL does it: saslprep.h.
 */
#pragma once

#include "base/bytes.h"
#include "base/buf.h"
#include "base/fault.h"

enum {
    SCRAM_KEY = 32,
    SCRAM_SALT_MAX = 64,
    SCRAM_ITERATIONS = 4096,
    SCRAM_ITERATIONS_MOST = 1000000, /* what a server may ask of our thread: under half a second */
    SCRAM_MESSAGE_MAX = 1024,        /* PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH */
    SCRAM_CHANNEL_MOST = 64,
};
#define SCRAM_MECHANISM      "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"

/* tls-server-end-point (RFC 5929) of the TLS that this is said in; len 0: there is none. */
struct scram_channel {
    uint8_t data[SCRAM_CHANNEL_MOST];
    size_t len;
};

struct scram_secret { /* SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> */
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT_MAX];
    size_t salt_len;
    uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};
/* Errors: E_SYNTAX for any other text; E_LIMIT for a longer salt or more than INT32_MAX iterations.
 */
MUST_USE enum err scram_secret_read(const char *text, struct scram_secret *ret);
/* From a clear-text password, with a random salt. Errors: E_LIMIT: iterations 0 or absurd. */
MUST_USE enum err scram_secret_make(const char *password, uint32_t iterations,
                                    struct scram_secret *ret);
/*
 * The same for a login by a password that is stored in clear, in two steps: what the client is told
 * costs next to nothing, as for a user that does not exist; the keys come when its proof is here.
 * The salt is random for this process, but stable for user and password, so that the keys are
 * derived once and then found.
 */
void scram_secret_promise(const char *user, const char *password, uint32_t iterations,
                          struct scram_secret *ret);
void scram_secret_keep(struct scram_secret *promised, const char *password);
/* A secret of a user that does not exist: a salt that is stable for the name, and no proof fits. */
void scram_secret_mock(const char *user, uint32_t iterations, struct scram_secret *ret);
/*
 * Does the password fit? Hashes it each time. Never for more than SCRAM_ITERATIONS_MOST. If it fits
 * and ret_client_key is not NULL, it is the ClientKey.
 */
bool scram_secret_fits(const struct scram_secret *s, struct bytes password,
                       uint8_t ret_client_key[SCRAM_KEY]);

/* ---- we are the server: client-first, server-first, client-final, server-final */
struct scram_server { /* starts zeroed but for secret, mock, channel and plus */
    struct scram_secret secret;
    bool mock;                    /* answer as always, then fail */
    struct scram_channel channel; /* if there is one, -PLUS was offered */
    bool plus;                    /* ... and chosen */
    struct buf client_first_bare, server_first;
    char *nonce;                   /* the client's and ours */
    uint8_t binding_flag;          /* 'n', 'y' or 'p', of client-first */
    uint8_t client_key[SCRAM_KEY]; /* known after a successful proof: SCRAM pass-through */
};
/*
 * Errors: E_PROTOCOL; E_AUTH: the client believes that there is no -PLUS here, though it was
 * offered. out: the server's first message.
 */
MUST_USE enum err scram_server_first(struct scram_server *s, struct bytes client_first,
                                     struct buf *out, struct fault *why);
/* Errors: E_PROTOCOL; E_AUTH when the proof or the channel does not fit. out: the server's final
 * message. */
MUST_USE enum err scram_server_final(struct scram_server *s, struct bytes client_final,
                                     struct buf *out, struct fault *why);
void scram_server_done(struct scram_server *s); /* wipes */

/* ---- we are the client */
struct scram_client {     /* starts zeroed but for password or keys, which are borrowed */
    const char *password; /* either a password ... */
    const uint8_t *client_key, *server_key; /* ... or keys of SCRAM_KEY bytes: pass-through */
    struct scram_channel channel;           /* likewise given */
    bool plus;                              /* the server offers -PLUS: its channel is proven */
    struct buf first_bare;
    char *nonce;
    uint8_t server_signature[SCRAM_KEY];
};
void scram_client_first(struct scram_client *c, struct buf *out);
/* Errors: E_PROTOCOL, E_LIMIT (absurd iterations). */
MUST_USE enum err scram_client_final(struct scram_client *c, struct bytes server_first,
                                     struct buf *out, struct fault *why);
/* Errors: E_AUTH when the server does not prove that it knows the secret. */
MUST_USE enum err scram_client_verify(struct scram_client *c, struct bytes server_final,
                                      struct fault *why);
void scram_client_done(struct scram_client *c); /* wipes */
