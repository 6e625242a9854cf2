/*
 * The client's login. A user that does not exist, has no password, or one that the method cannot
 * use is asked all the same, for a proof that nothing fits: outside all failures of a method look
 * alike, and nothing is hashed for long before the verdict, whose time does not tell (penalty.h).
 * Only auth_type md5 tells something where secrets are of both kinds: users with a SCRAM secret are
 * asked for SCRAM, others for MD5, and who does not exist for what most have.
 */
#include "auth/verify.h"

#include <assert.h>

#include "auth/crypto.h"
#include "auth/md5.h"
#include "base/mem.h"
#include "base/random.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"

enum step {
    STEP_PASSWORD,     /* a password in clear is awaited */
    STEP_MD5,          /* the answer to the salt */
    STEP_SASL_INITIAL, /* SASLInitialResponse: the mechanism, perhaps with client-first */
    STEP_SASL_FIRST,   /* client-first, which did not come with the mechanism */
    STEP_SASL_FINAL,   /* client-final */
    STEP_DONE,         /* decided: no more answers */
};

struct verify {
    const char *user;
    const struct user_secret *secret; /* or NULL */
    enum step step;
    uint8_t salt[MD5_SALT];
    struct scram_server scram;
};

static enum secret_kind kind_of(const struct user_secret *secret)
{
    return secret == NULL ? SECRET_NONE : secret->kind;
}

static enum err wrong_password(struct fault *why)
{
    return fault_set(why, E_AUTH, "password authentication failed");
}

/* ---- the first request */

static void start_password(struct verify *v, struct buf *out)
{
    v->step = STEP_PASSWORD;
    compose_auth(out, AUTH_REQ_PASSWORD, BYTES(""));
}

static void start_md5(struct verify *v, struct buf *out)
{
    v->step = STEP_MD5;
    random_fill(v->salt, sizeof v->salt);
    compose_auth(out, AUTH_REQ_MD5, bytes_of(v->salt, sizeof v->salt));
}

static void start_scram(struct verify *v, uint32_t iterations, struct buf *out)
{
    v->step = STEP_SASL_INITIAL;
    switch (kind_of(v->secret)) {
    case SECRET_SCRAM: v->scram.secret = v->secret->scram; break;
    case SECRET_PLAIN:
        scram_secret_promise(v->user, v->secret->text, iterations, &v->scram.secret);
        break;
    case SECRET_NONE:
    case SECRET_MD5:
        v->scram.mock = true;
        scram_secret_mock(v->user, iterations, &v->scram.secret);
        break;
    }
    compose_auth(out, AUTH_REQ_SASL,
                 v->scram.channel.len > 0 ? BYTES(SCRAM_MECHANISM_PLUS "\0" SCRAM_MECHANISM "\0\0")
                                          : BYTES(SCRAM_MECHANISM "\0\0"));
}

enum err verify_start(enum auth_type type, const char *user, const struct user_secret *secret,
                      enum secret_kind usual, const struct scram_channel *channel,
                      uint32_t iterations, struct verify **ret, struct buf *out, struct fault *why)
{
    *ret = NULL;
    if (type == AUTH_ANY) { return E_OK; }
    /* As in PgBouncer: trusted is who is listed. */
    if (type == AUTH_TRUST) { return secret != NULL ? E_OK : wrong_password(why); }
    struct verify *v = mem_new(struct verify);
    v->user = user;
    v->secret = secret;
    v->step = STEP_DONE;
    if (channel != NULL) { v->scram.channel = *channel; }
    enum err e = E_AGAIN;
    switch (type) {
    case AUTH_PLAIN: start_password(v, out); break;
    case AUTH_MD5:
        if ((kind_of(secret) == SECRET_NONE ? usual : kind_of(secret)) == SECRET_SCRAM) {
            start_scram(v, iterations, out);
        } else {
            start_md5(v, out);
        }
        break;
    case AUTH_SCRAM: start_scram(v, iterations, out); break;
    case AUTH_ANY:
    case AUTH_TRUST: break; /* above */
    case AUTH_CERT:
    case AUTH_HBA:
    case AUTH_LDAP:
    case AUTH_PAM:
        e = fault_set(why, E_CONFIG, "authentication type %d does not check a password", (int)type);
        break;
    }
    if (e != E_OK && e != E_AGAIN) {
        verify_free(&v);
        return e;
    }
    *ret = v;
    return e;
}

/* ---- the answers */

/* PasswordMessage: one text with its zero, and nothing else. */
enum err verify_read_password(struct bytes body, struct bytes *ret, struct fault *why)
{
    if (body.len == 0 || memchr(body.ptr, 0, body.len) != body.ptr + body.len - 1) {
        return fault_set(why, E_PROTOCOL, "malformed password message");
    }
    *ret = bytes_of(body.ptr, body.len - 1);
    return E_OK;
}

static enum err check_password(struct verify *v, struct bytes password, struct fault *why)
{
    char hash[MD5_SECRET + 1];
    uint8_t client_key[SCRAM_KEY];
    bool fits = false;
    switch (kind_of(v->secret)) {
    case SECRET_NONE: break;
    case SECRET_PLAIN: fits = crypto_same(password, bytes_str(v->secret->text)); break;
    case SECRET_MD5: {
        enum err e = md5_secret(v->user, password, hash, why);
        if (e != E_OK) { return e; }
        fits = crypto_same(bytes_str(hash), bytes_str(v->secret->text));
        break;
    }
    case SECRET_SCRAM:
        fits = scram_secret_fits(&v->secret->scram, password, client_key);
        if (fits) { userlist_keep_client_key(v->secret, client_key); }
        mem_wipe(client_key, sizeof client_key);
        break;
    }
    return fits ? E_OK : wrong_password(why);
}

static enum err check_md5(struct verify *v, struct bytes answer, struct fault *why)
{
    char secret[MD5_SECRET + 1], expected[MD5_SECRET + 1];
    enum secret_kind kind = kind_of(v->secret);
    bool usable = kind == SECRET_MD5 || kind == SECRET_PLAIN;
    enum err e = E_OK;
    if (kind == SECRET_MD5) {
        memcpy(secret, v->secret->text, sizeof secret);
    } else {
        e = md5_secret(v->user, bytes_str(usable ? v->secret->text : ""), secret, why);
    }
    if (e == E_OK) { e = md5_answer(secret, v->salt, expected, why); }
    if (e == E_OK && (!crypto_same(answer, bytes_of(expected, MD5_SECRET)) || !usable)) {
        e = wrong_password(why);
    }
    mem_wipe(secret, sizeof secret);
    return e;
}

/* The server's message goes out under the code, when there is one. */
static enum err send_sasl(struct buf *message, uint32_t code, enum err e, struct buf *out)
{
    if (e == E_OK) { compose_auth(out, code, buf_view(message)); }
    buf_done(message);
    return e;
}

static enum err answer_client_first(struct verify *v, struct bytes message, struct buf *out,
                                    struct fault *why)
{
    struct buf reply = {0};
    enum err e = scram_server_first(&v->scram, message, &reply, why);
    e = send_sasl(&reply, AUTH_REQ_SASL_CONTINUE, e, out);
    v->step = e == E_OK ? STEP_SASL_FINAL : STEP_DONE;
    return e == E_OK ? E_AGAIN : e;
}

/* SASLInitialResponse: mechanism, zero, length of the message or -1, message. */
static enum err answer_sasl_initial(struct verify *v, struct bytes body, struct buf *out,
                                    struct fault *why)
{
    const uint8_t *zero = body.len == 0 ? NULL : memchr(body.ptr, 0, body.len);
    if (zero == NULL || body.len - (size_t)(zero + 1 - body.ptr) < 4) {
        return fault_set(why, E_PROTOCOL, "malformed SASL initial response");
    }
    struct bytes mechanism = bytes_of(body.ptr, (size_t)(zero - body.ptr));
    struct bytes message = bytes_skip(body, mechanism.len + 1 + 4);
    uint32_t len = get_u32(zero + 1);
    if (len != UINT32_MAX ? len != message.len : message.len != 0) {
        return fault_set(why, E_PROTOCOL, "malformed SASL initial response");
    }
    v->scram.plus = v->scram.channel.len > 0 && bytes_equal(mechanism, BYTES(SCRAM_MECHANISM_PLUS));
    if (!v->scram.plus && !bytes_equal(mechanism, BYTES(SCRAM_MECHANISM))) {
        return fault_set(why, E_PROTOCOL,
                         "client selected an invalid SASL authentication mechanism");
    }
    if (len == UINT32_MAX) {
        /* RFC 4422: an empty challenge asks for what did not come along. */
        compose_auth(out, AUTH_REQ_SASL_CONTINUE, BYTES(""));
        v->step = STEP_SASL_FIRST;
        return E_AGAIN;
    }
    return answer_client_first(v, message, out, why);
}

static enum err answer_client_final(struct verify *v, struct bytes message, struct buf *out,
                                    struct fault *why)
{
    struct buf reply = {0};
    if (kind_of(v->secret) == SECRET_PLAIN) {
        scram_secret_keep(&v->scram.secret, v->secret->text);
    }
    enum err e = scram_server_final(&v->scram, message, &reply, why);
    e = send_sasl(&reply, AUTH_REQ_SASL_FINAL, e, out);
    if (e == E_OK && kind_of(v->secret) == SECRET_SCRAM) {
        userlist_keep_client_key(v->secret, v->scram.client_key);
    }
    return e;
}

enum err verify_answer(struct verify *v, struct bytes body, struct buf *out, struct fault *why)
{
    struct bytes text = {0};
    enum step step = v->step;
    enum err e = E_OK;
    v->step = STEP_DONE;
    switch (step) {
    case STEP_PASSWORD:
        e = verify_read_password(body, &text, why);
        return e == E_OK ? check_password(v, text, why) : e;
    case STEP_MD5:
        e = verify_read_password(body, &text, why);
        return e == E_OK ? check_md5(v, text, why) : e;
    case STEP_SASL_INITIAL: return answer_sasl_initial(v, body, out, why);
    case STEP_SASL_FIRST: return answer_client_first(v, body, out, why);
    case STEP_SASL_FINAL: return answer_client_final(v, body, out, why);
    case STEP_DONE: break;
    }
    return fault_set(why, E_PROTOCOL, "password message without a request");
}

void verify_free(struct verify **v)
{
    if (*v == NULL) { return; }
    scram_server_done(&(*v)->scram);
    mem_wipe(*v, sizeof **v);
    mem_free(v);
}
