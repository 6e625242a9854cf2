/* SCRAM as the server sees it: client-first, server-first, client-final, server-final. */
#include "auth/scram_internal.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "base/mem.h"

static enum err malformed(struct fault *why, const char *what)
{
    return fault_set(why, E_PROTOCOL, "malformed SCRAM message: %s", what);
}

/*
 * Does what the client says of binding fit its mechanism and our offer? 'n': it cannot; 'y': it
 * could, and believes that we cannot, so if we offered it somebody on the way took it out.
 */
static enum err check_flag(const struct scram_server *s, uint8_t flag, struct fault *why)
{
    switch (flag) {
    case 'p':
        if (s->plus) { return E_OK; }
        return fault_set(why, E_PROTOCOL,
                         "client selected SCRAM-SHA-256 without channel binding, but the SCRAM "
                         "message includes channel binding data");
    case 'y':
        if (s->channel.len > 0 && !s->plus) {
            (void)fault_state(why, E_AUTH, "28000", "SCRAM channel binding negotiation error");
            fault_hint(why, "The client supports channel binding, but thinks that the server does "
                            "not: it does.");
            return E_AUTH;
        }
        break;
    case 'n': break;
    default: return malformed(why, "unexpected channel-binding flag");
    }
    if (s->plus) {
        return fault_set(why, E_PROTOCOL,
                         "client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not "
                         "include channel binding data");
    }
    return E_OK;
}

/* The GS2 header. What remains is client-first-bare. */
static enum err read_header(const struct scram_server *s, struct bytes *left, uint8_t *ret_flag,
                            struct fault *why)
{
    static const char type[] = "=tls-server-end-point";
    if (left->len < 3) { return malformed(why, "too short"); }
    uint8_t flag = left->ptr[0];
    enum err e = check_flag(s, flag, why);
    if (e != E_OK) { return e; }
    *left = bytes_skip(*left, 1);
    if (flag == 'p') {
        if (left->len < sizeof type - 1 || memcmp(left->ptr, type, sizeof type - 1) != 0) {
            return fault_set(why, E_PROTOCOL, "unsupported SCRAM channel-binding type");
        }
        *left = bytes_skip(*left, sizeof type - 1);
    }
    if (left->len < 2 || left->ptr[0] != ',') { return malformed(why, "comma expected"); }
    if (left->ptr[1] == 'a') {
        return fault_state(why, E_PROTOCOL, "0A000",
                           "client uses authorization identity, but it is not supported");
    }
    if (left->ptr[1] != ',') { return malformed(why, "comma expected"); }
    *ret_flag = flag;
    *left = bytes_skip(*left, 2);
    return E_OK;
}

enum err scram_server_first_with(struct scram_server *s, struct bytes client_first,
                                 const char *nonce, struct buf *out, struct fault *why)
{
    struct bytes left = client_first, user, client_nonce;
    if (left.len > SCRAM_MESSAGE_MAX) { return malformed(why, "too long"); }
    uint8_t flag = 0;
    enum err e = read_header(s, &left, &flag, why);
    if (e != E_OK) { return e; }
    struct bytes bare = left;
    if (left.len > 0 && left.ptr[0] == 'm') {
        return fault_state(why, E_PROTOCOL, "0A000",
                           "client requires an unsupported SCRAM extension");
    }
    /* The user is the startup packet's: PostgreSQL and its clients leave this one empty. */
    if (!scram_attribute(&left, 'n', &user)) { return malformed(why, "user name expected"); }
    if (!scram_attribute(&left, 'r', &client_nonce) || !scram_is_nonce(client_nonce)) {
        return malformed(why, "printable nonce expected");
    }
    while (left.len > 0) {
        if (!scram_extension(&left)) { return malformed(why, "extension expected"); }
    }

    s->binding_flag = flag;
    buf_clear(&s->client_first_bare);
    buf_put_bytes(&s->client_first_bare, bare);
    mem_free(&s->nonce);
    s->nonce = mem_printf("%.*s%s", (int)client_nonce.len, (const char *)client_nonce.ptr, nonce);
    buf_clear(&s->server_first);
    buf_printf(&s->server_first, "r=%s,s=", s->nonce);
    base64_put(&s->server_first, bytes_of(s->secret.salt, s->secret.salt_len));
    buf_printf(&s->server_first, ",i=%u", (unsigned)s->secret.iterations);
    buf_put_bytes(out, buf_view(&s->server_first));
    return E_OK;
}

enum err scram_server_first(struct scram_server *s, struct bytes client_first, struct buf *out,
                            struct fault *why)
{
    char *nonce = scram_nonce();
    enum err e = scram_server_first_with(s, client_first, nonce, out, why);
    mem_free(&nonce);
    return e;
}

/* The header as it came in client-first, and the channel that we know. */
static bool fits_channel(const struct scram_server *s, struct bytes binding)
{
    struct buf expected = {0};
    scram_put_binding(&expected, s->binding_flag, &s->channel);
    bool fits = bytes_equal(binding, buf_view(&expected));
    buf_done(&expected);
    return fits;
}

/* Splits "c=...,r=...[,extensions],p=..." and checks all but the proof. */
static enum err read_final(const struct scram_server *s, struct bytes message,
                           struct bytes *ret_without_proof, uint8_t ret_proof[SCRAM_KEY],
                           struct fault *why)
{
    struct bytes left = message, binding, nonce, proof;
    if (message.len > SCRAM_MESSAGE_MAX) { return malformed(why, "too long"); }
    if (!scram_attribute(&left, 'c', &binding)) {
        return malformed(why, "channel binding expected");
    }
    if (!fits_channel(s, binding)) {
        if (s->binding_flag == 'p') {
            return fault_state(why, E_AUTH, "28000", "SCRAM channel binding check failed");
        }
        return fault_set(why, E_PROTOCOL,
                         "unexpected SCRAM channel-binding attribute in client-final-message");
    }
    if (!scram_attribute(&left, 'r', &nonce)) { return malformed(why, "nonce expected"); }
    if (s->nonce == NULL || !crypto_same(nonce, bytes_str(s->nonce))) {
        return fault_set(why, E_PROTOCOL, "invalid SCRAM response: nonce does not match");
    }
    while (left.len > 0 && left.ptr[0] != 'p') {
        if (!scram_extension(&left)) { return malformed(why, "extension expected"); }
    }
    /* Without the proof, and without the comma in front of it. */
    size_t before = (size_t)(left.ptr - message.ptr);
    size_t len = 0;
    if (!scram_attribute(&left, 'p', &proof) || left.len > 0 ||
        base64_read(proof, ret_proof, SCRAM_KEY, &len) != E_OK || len != SCRAM_KEY) {
        return malformed(why, "proof of 32 bytes expected at the end");
    }
    *ret_without_proof = bytes_of(message.ptr, before - 1);
    return E_OK;
}

enum err scram_server_final(struct scram_server *s, struct bytes client_final, struct buf *out,
                            struct fault *why)
{
    struct bytes without_proof = {0};
    uint8_t key[SCRAM_KEY] = {0}, signature[SCRAM_KEY], stored_key[SCRAM_KEY];
    enum err e = read_final(s, client_final, &without_proof, key, why);
    if (e != E_OK) { goto out; }

    /* ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage), and StoredKey = SHA256(ClientKey).
     */
    struct bytes first = buf_view(&s->client_first_bare), second = buf_view(&s->server_first);
    scram_sign(s->secret.stored_key, first, second, without_proof, signature);
    for (size_t i = 0; i < SCRAM_KEY; i++) { key[i] ^= signature[i]; }
    scram_stored_key(key, stored_key);
    bool fits =
        crypto_same(bytes_of(stored_key, SCRAM_KEY), bytes_of(s->secret.stored_key, SCRAM_KEY));
    if (!fits || s->mock) {
        e = fault_set(why, E_AUTH, "SASL authentication failed");
        goto out;
    }
    memcpy(s->client_key, key, SCRAM_KEY);
    scram_sign(s->secret.server_key, first, second, without_proof, signature);
    buf_put(out, "v=", 2);
    base64_put(out, bytes_of(signature, SCRAM_KEY));
out:
    mem_wipe(key, sizeof key);
    return e;
}

void scram_server_done(struct scram_server *s)
{
    buf_done(&s->client_first_bare);
    buf_done(&s->server_first);
    mem_free(&s->nonce);
    mem_wipe(s, sizeof *s);
}
