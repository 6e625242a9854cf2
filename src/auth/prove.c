/* Our login to a server. Each request is answered once; whatever else the server says ends the
 * login. */
#include "auth/prove.h"

#include "auth/crypto.h"
#include "auth/md5.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"

enum step {
    STEP_START,      /* nothing asked yet */
    STEP_ANSWERED,   /* a password was sent: Ok is to come */
    STEP_SASL_FIRST, /* client-first was sent */
    STEP_SASL_FINAL, /* client-final was sent */
    STEP_SASL_DONE,  /* the server has proven itself: Ok is to come */
    STEP_FAILED,
};

struct prove {
    struct user_secret secret;
    const char *source; /* where the secret is from, for people; NULL: there is none */
    enum step step;
    uint8_t client_key[SCRAM_KEY];
    struct scram_client scram;
    struct credential *credential; /* or NULL: secret points into it */
};

struct prove *prove_new(const char *user, const char *password, const struct user_secret *secret)
{
    struct prove *p = mem_new(struct prove);
    p->secret = (struct user_secret){.user = user, .text = "", .kind = SECRET_NONE};
    if (password != NULL && password[0] != '\0') {
        p->source = "the database line";
        if (user_secret_read(user, password, &p->secret) != E_OK) {
            /* Not a SCRAM secret after all, so a password that looks like one. */
            p->secret = (struct user_secret){.user = user, .text = password, .kind = SECRET_PLAIN};
        }
    } else if (secret != NULL && secret->kind != SECRET_NONE) {
        p->source = "auth_file";
        p->secret = *secret;
        p->secret.user = user;
    }
    return p;
}

void prove_bind(struct prove *p, const struct scram_channel *channel)
{
    p->scram.channel = *channel;
}

void prove_by(struct prove *p, struct credential *c)
{
    p->credential = c;
    const struct user_secret *secret = credential_secret(c);
    if (p->source == NULL && secret->kind != SECRET_NONE) {
        const char *user = p->secret.user;
        p->source = "auth_query";
        p->secret = *secret;
        p->secret.user = user;
    }
}

/* Says what the server wants and which secret there is instead. */
static enum err no_secret(const struct prove *p, const char *request, struct fault *why)
{
    if (p->source == NULL) {
        (void)fault_set(why, E_AUTH,
                        "server asks %s for user \"%.64s\", but there is no password for it in the "
                        "database line or auth_file",
                        request, p->secret.user);
        fault_hint(why, "Add the user to auth_file, or password= to the database line.");
        return E_AUTH;
    }
    const char *kind = p->secret.kind == SECRET_MD5     ? "an md5 secret"
                       : p->secret.kind == SECRET_SCRAM ? "a SCRAM secret"
                                                        : "a password";
    (void)fault_set(why, E_AUTH, "server asks %s for user \"%.64s\", but %s has only %s", request,
                    p->secret.user, p->source, kind);
    fault_hint(why, "%s",
               p->secret.kind == SECRET_SCRAM
                   ? "Set password_encryption and pg_hba.conf on the server to scram-sha-256, or "
                     "give the password in clear."
                   : "Give the SCRAM secret that the server has in pg_authid, or the password in "
                     "clear.");
    return E_AUTH;
}

static enum err answer_password(struct prove *p, struct buf *out, struct fault *why)
{
    if (p->secret.kind != SECRET_PLAIN) { return no_secret(p, "the password in clear text", why); }
    compose_password(out, bytes_str(p->secret.text));
    p->step = STEP_ANSWERED;
    return E_AGAIN;
}

static enum err answer_md5(struct prove *p, struct bytes salt, struct buf *out, struct fault *why)
{
    char secret[MD5_SECRET + 1], answer[MD5_SECRET + 1];
    enum err e = E_OK;
    if (p->secret.kind == SECRET_PLAIN) {
        e = md5_secret(p->secret.user, bytes_str(p->secret.text), secret, why);
    } else if (p->secret.kind == SECRET_MD5) {
        memcpy(secret, p->secret.text, sizeof secret);
    } else {
        return no_secret(p, "MD5", why);
    }
    if (e == E_OK) { e = md5_answer(secret, salt.ptr, answer, why); }
    if (e == E_OK) {
        compose_password(out, bytes_of(answer, MD5_SECRET));
        p->step = STEP_ANSWERED;
        e = E_AGAIN;
    }
    mem_wipe(secret, sizeof secret);
    return e;
}

/* Is it among the mechanisms? The list was checked to be closed by an empty name. */
static bool offers(struct bytes mechanisms, const char *wanted)
{
    const char *name = (const char *)mechanisms.ptr;
    while (name[0] != '\0' && strcmp(name, wanted) != 0) { name += strlen(name) + 1; }
    return name[0] != '\0';
}

static enum err answer_sasl(struct prove *p, struct bytes mechanisms, struct buf *out,
                            struct fault *why)
{
    p->scram.plus = p->scram.channel.len > 0 && offers(mechanisms, SCRAM_MECHANISM_PLUS);
    if (!p->scram.plus && !offers(mechanisms, SCRAM_MECHANISM)) {
        return fault_set(why, E_REFUSED,
                         "server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
    }
    if (p->secret.kind == SECRET_PLAIN) {
        p->scram.password = p->secret.text;
    } else if (p->secret.kind != SECRET_SCRAM) {
        return no_secret(p, "SCRAM-SHA-256", why);
    } else if (userlist_client_key(&p->secret, p->client_key)) {
        p->scram.client_key = p->client_key;
        p->scram.server_key = p->secret.scram.server_key;
    } else {
        (void)fault_set(
            why, E_AUTH,
            "server asks SCRAM-SHA-256 for user \"%.64s\", and no ClientKey is known yet: "
            "a client must log in by SCRAM first",
            p->secret.user);
        fault_hint(why, "To connect before any client does, give the password in clear.");
        return E_AUTH;
    }
    struct buf first = {0};
    scram_client_first(&p->scram, &first);
    compose_sasl_initial(out, p->scram.plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM,
                         buf_view(&first));
    buf_done(&first);
    p->step = STEP_SASL_FIRST;
    return E_AGAIN;
}

static enum err answer_continue(struct prove *p, struct bytes message, struct buf *out,
                                struct fault *why)
{
    struct buf final = {0};
    enum err e = scram_client_final(&p->scram, message, &final, why);
    if (e == E_OK) {
        compose_sasl_response(out, buf_view(&final));
        p->step = STEP_SASL_FINAL;
        e = E_AGAIN;
    }
    buf_done(&final);
    return e;
}

static enum err answer_final(struct prove *p, struct bytes message, struct fault *why)
{
    enum err e = scram_client_verify(&p->scram, message, why);
    if (e != E_OK) { return e; }
    p->step = STEP_SASL_DONE;
    return E_AGAIN;
}

static enum err unexpected(struct fault *why, uint32_t code)
{
    return fault_set(why, E_PROTOCOL, "authentication request %u from the server is out of turn",
                     (unsigned)code);
}

static enum err accept_ok(enum step step, struct fault *why)
{
    if (step == STEP_SASL_FIRST || step == STEP_SASL_FINAL) {
        return fault_set(
            why, E_AUTH,
            "server accepted the login without proving that it knows the SCRAM secret");
    }
    return step == STEP_FAILED ? unexpected(why, AUTH_REQ_OK) : E_OK;
}

enum err prove_answer(struct prove *p, struct bytes body, struct buf *out, struct fault *why)
{
    struct auth_msg m;
    enum step step = p->step;
    p->step = STEP_FAILED;
    if (response_read_auth(body, &m) != E_OK) {
        return fault_set(why, E_PROTOCOL, "malformed authentication request from the server");
    }
    switch (m.code) {
    case AUTH_REQ_OK: return accept_ok(step, why);
    case AUTH_REQ_PASSWORD:
        return step == STEP_START ? answer_password(p, out, why) : unexpected(why, m.code);
    case AUTH_REQ_MD5:
        return step == STEP_START ? answer_md5(p, m.data, out, why) : unexpected(why, m.code);
    case AUTH_REQ_SASL:
        return step == STEP_START ? answer_sasl(p, m.data, out, why) : unexpected(why, m.code);
    case AUTH_REQ_SASL_CONTINUE:
        return step == STEP_SASL_FIRST ? answer_continue(p, m.data, out, why)
                                       : unexpected(why, m.code);
    case AUTH_REQ_SASL_FINAL:
        return step == STEP_SASL_FINAL ? answer_final(p, m.data, why) : unexpected(why, m.code);
    default:
        return fault_set(why, E_REFUSED,
                         "server asks for authentication method %u, which is not supported "
                         "(supported: trust, password, md5, scram-sha-256)",
                         (unsigned)m.code);
    }
}

void prove_free(struct prove **p)
{
    if (*p == NULL) { return; }
    scram_client_done(&(*p)->scram);
    credential_unref(&(*p)->credential);
    mem_wipe(*p, sizeof **p);
    mem_free(p);
}
