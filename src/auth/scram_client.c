/* SCRAM as the client sees it: we log in to a server with a password, or with keys learned before.
 */
#include "auth/scram_internal.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "base/mem.h"

/* 'y' says that we could, but were not offered it: a server that did offer it then knows. */
static uint8_t flag_of(const struct scram_client *c)
{
    if (c->channel.len == 0) { return 'n'; }
    return c->plus ? 'p' : 'y';
}

void scram_client_first_with(struct scram_client *c, const char *user, const char *nonce,
                             struct buf *out)
{
    mem_free(&c->nonce);
    c->nonce = mem_strdup(nonce);
    buf_clear(&c->first_bare);
    buf_printf(&c->first_bare, "n=%s,r=%s", user, nonce);
    scram_put_header(out, flag_of(c));
    buf_put_bytes(out, buf_view(&c->first_bare));
}

void scram_client_first(struct scram_client *c, struct buf *out)
{
    char *nonce = scram_nonce();
    /* The server takes the user of the startup packet; libpq leaves this one empty as well. */
    scram_client_first_with(c, "", nonce, out);
    mem_free(&nonce);
}

struct challenge {
    struct bytes nonce;
    uint8_t salt[SCRAM_MESSAGE_MAX];
    size_t salt_len;
    uint32_t iterations;
};

static enum err read_challenge(const struct scram_client *c, struct bytes message,
                               struct challenge *ret, struct fault *why)
{
    struct bytes left = message, salt, iterations;
    struct bytes ours = bytes_str(c->nonce);
    if (message.len > SCRAM_MESSAGE_MAX || !scram_attribute(&left, 'r', &ret->nonce) ||
        !scram_attribute(&left, 's', &salt) || !scram_attribute(&left, 'i', &iterations)) {
        return fault_set(why, E_PROTOCOL, "malformed SCRAM challenge from the server");
    }
    while (left.len > 0) {
        if (!scram_extension(&left)) {
            return fault_set(why, E_PROTOCOL, "malformed SCRAM challenge from the server");
        }
    }
    if (!scram_is_nonce(ret->nonce) || ret->nonce.len <= ours.len ||
        !bytes_equal(bytes_of(ret->nonce.ptr, ours.len), ours)) {
        return fault_set(why, E_PROTOCOL, "the server's SCRAM nonce does not begin with ours");
    }
    if (base64_read(salt, ret->salt, sizeof ret->salt, &ret->salt_len) != E_OK ||
        ret->salt_len == 0) {
        return fault_set(why, E_PROTOCOL, "malformed salt in the server's SCRAM challenge");
    }
    if (!scram_iterations(iterations, &ret->iterations)) {
        return fault_set(why, E_PROTOCOL, "malformed iterations in the server's SCRAM challenge");
    }
    return E_OK;
}

enum err scram_client_final(struct scram_client *c, struct bytes server_first, struct buf *out,
                            struct fault *why)
{
    struct challenge ch = {0};
    enum err e = read_challenge(c, server_first, &ch, why);
    if (e != E_OK) { return e; }

    uint8_t client_key[SCRAM_KEY], server_key[SCRAM_KEY];
    if (c->password != NULL) {
        if (ch.iterations > SCRAM_ITERATIONS_MOST) {
            return fault_set(why, E_LIMIT, "the server asks for %u SCRAM iterations, limit %u",
                             (unsigned)ch.iterations, (unsigned)SCRAM_ITERATIONS_MOST);
        }
        scram_keys(bytes_str(c->password), bytes_of(ch.salt, ch.salt_len), ch.iterations,
                   client_key, server_key);
    } else {
        memcpy(client_key, c->client_key, SCRAM_KEY);
        memcpy(server_key, c->server_key, SCRAM_KEY);
    }

    struct buf final = {0};
    uint8_t stored_key[SCRAM_KEY], proof[SCRAM_KEY];
    buf_put(&final, "c=", 2);
    scram_put_binding(&final, flag_of(c), &c->channel);
    buf_printf(&final, ",r=%.*s", (int)ch.nonce.len, (const char *)ch.nonce.ptr);
    struct bytes first = buf_view(&c->first_bare);
    scram_stored_key(client_key, stored_key);
    scram_sign(stored_key, first, server_first, buf_view(&final), proof);
    for (size_t i = 0; i < SCRAM_KEY; i++) { proof[i] ^= client_key[i]; }
    scram_sign(server_key, first, server_first, buf_view(&final), c->server_signature);
    buf_put(&final, ",p=", 3);
    base64_put(&final, bytes_of(proof, SCRAM_KEY));
    buf_put_bytes(out, buf_view(&final));
    buf_done(&final);
    mem_wipe(client_key, sizeof client_key);
    mem_wipe(server_key, sizeof server_key);
    return E_OK;
}

enum err scram_client_verify(struct scram_client *c, struct bytes server_final, struct fault *why)
{
    struct bytes left = server_final, value;
    uint8_t signature[SCRAM_KEY];
    size_t len = 0;
    if (scram_attribute(&left, 'e', &value)) {
        /* The server's words, as far as they can be shown: a nonce's alphabet is that of its
         * errors. */
        return fault_set(why, E_AUTH, "the server ended the SCRAM exchange: %.*s",
                         scram_is_nonce(value) ? (int)value.len : 0, (const char *)value.ptr);
    }
    if (!scram_attribute(&left, 'v', &value) ||
        base64_read(value, signature, sizeof signature, &len) != E_OK || len != SCRAM_KEY ||
        !crypto_same(bytes_of(signature, SCRAM_KEY), bytes_of(c->server_signature, SCRAM_KEY))) {
        return fault_set(why, E_AUTH, "the server did not prove that it knows the SCRAM secret");
    }
    return E_OK;
}

void scram_client_done(struct scram_client *c)
{
    buf_done(&c->first_bare);
    mem_free(&c->nonce);
    mem_wipe(c, sizeof *c);
}
