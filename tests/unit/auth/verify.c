/* Logins of clients: each method against each kind of secret, and messages that do not belong. */
#include "unit.h"

#include "auth/keyring.h"
#include "auth/md5.h"
#include "auth/verify.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"
#include "secrets.h"

static struct user_secret secret_of(const char *user, const char *text)
{
    struct user_secret s;
    CHECK(user_secret_read(user, text, &s) == E_OK);
    return s;
}

/* The one 'R' message in out; out is emptied at the next call. */
static struct auth_msg request_in(struct buf *out)
{
    struct bytes v = buf_view(out);
    struct auth_msg m = {0};
    CHECK(v.len > 5 && v.ptr[0] == 'R' && get_u32(v.ptr + 1) == v.len - 1);
    CHECK(response_read_auth(bytes_skip(v, 5), &m) == E_OK);
    return m;
}

/* Body of a SASLInitialResponse. */
static void put_initial(struct buf *body, const char *mechanism, struct bytes message)
{
    buf_clear(body);
    buf_put_str(body, mechanism);
    buf_put_u32(body, (uint32_t)message.len);
    buf_put_bytes(body, message);
}

/* A whole login by cleartext password. */
static enum err login_plain(const struct user_secret *secret, struct bytes body, struct fault *why)
{
    struct verify *v = NULL;
    struct buf out = {0};
    CHECK(verify_start(AUTH_PLAIN, "mo", secret, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       why) == E_AGAIN);
    CHECK(request_in(&out).code == AUTH_REQ_PASSWORD);
    enum err e = verify_answer(v, body, &out, why);
    verify_free(&v);
    buf_done(&out);
    return e;
}

/* A whole login by MD5, of a client that uses this password. */
static enum err login_md5(const struct user_secret *secret, const char *password, struct fault *why)
{
    struct verify *v = NULL;
    struct buf out = {0};
    char own[MD5_SECRET + 1], answer[MD5_SECRET + 1];
    CHECK(verify_start(AUTH_MD5, "mo", secret, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       why) == E_AGAIN);
    struct auth_msg m = request_in(&out);
    CHECK(m.code == AUTH_REQ_MD5);
    CHECK(md5_secret("mo", bytes_str(password), own, NULL) == E_OK);
    CHECK(md5_answer(own, m.data.ptr, answer, NULL) == E_OK);
    enum err e = verify_answer(v, bytes_of(answer, sizeof answer), &out, why);
    verify_free(&v);
    buf_done(&out);
    return e;
}

/* A whole login by SCRAM; *c is the client's side, already with its password. */
static enum err login_scram(enum auth_type type, const struct user_secret *secret,
                            struct scram_client *c, struct fault *why)
{
    struct verify *v = NULL;
    struct buf out = {0}, message = {0}, body = {0};
    CHECK(verify_start(type, "ann", secret, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out, why) ==
          E_AGAIN);
    struct auth_msg m = request_in(&out);
    CHECK(m.code == AUTH_REQ_SASL && bytes_equal(m.data, BYTES("SCRAM-SHA-256\0\0")));
    buf_clear(&out);

    scram_client_first(c, &message);
    put_initial(&body, "SCRAM-SHA-256", buf_view(&message));
    CHECK(verify_answer(v, buf_view(&body), &out, why) == E_AGAIN);
    m = request_in(&out);
    CHECK(m.code == AUTH_REQ_SASL_CONTINUE);
    buf_clear(&message);
    CHECK(scram_client_final(c, m.data, &message, why) == E_OK);
    buf_clear(&out);

    enum err e = verify_answer(v, buf_view(&message), &out, why);
    if (e == E_OK) {
        m = request_in(&out);
        CHECK(m.code == AUTH_REQ_SASL_FINAL);
        CHECK(scram_client_verify(c, m.data, why) == E_OK);
    } else {
        CHECK(buf_len(&out) == 0);
    }
    verify_free(&v);
    buf_done(&out);
    buf_done(&message);
    buf_done(&body);
    scram_client_done(c);
    return e;
}

static enum err scram_with(const struct user_secret *secret, const char *password,
                           struct fault *why)
{
    struct scram_client c = {.password = password};
    return login_scram(AUTH_SCRAM, secret, &c, why);
}

/* Hashing for long, counted: tests/CMakeLists.txt puts this in front of the real one. */
static unsigned hashed;
void __real_crypto_pbkdf2(struct bytes password, struct bytes salt, uint32_t iterations,
                          uint8_t ret[32]);
void __wrap_crypto_pbkdf2(struct bytes password, struct bytes salt, uint32_t iterations,
                          uint8_t ret[32]);
void __wrap_crypto_pbkdf2(struct bytes password, struct bytes salt, uint32_t iterations,
                          uint8_t ret[32])
{
    hashed++;
    __real_crypto_pbkdf2(password, salt, iterations, ret);
}

/* What a client sees of a login until its proof is due; the lengths stand for what is random. */
static void question(enum auth_type type, const char *text, enum secret_kind usual,
                     struct buf *seen)
{
    struct verify *v = NULL;
    struct buf out = {0}, body = {0};
    struct fault why;
    struct user_secret s = text == NULL ? (struct user_secret){0} : secret_of("ann", text);
    hashed = 0;
    CHECK(verify_start(type, "ann", text == NULL ? NULL : &s, usual, NULL, SCRAM_ITERATIONS, &v,
                       &out, &why) == E_AGAIN);
    struct auth_msg m = request_in(&out);
    buf_printf(seen, "%u:%zu ", m.code, m.data.len);
    if (m.code == AUTH_REQ_SASL) {
        buf_clear(&out);
        put_initial(&body, "SCRAM-SHA-256", BYTES("n,,n=,r=0123456789"));
        CHECK(verify_answer(v, buf_view(&body), &out, &why) == E_AGAIN);
        m = request_in(&out);
        buf_printf(seen, "%u:%zu ", m.code, m.data.len);
    }
    CHECK(hashed == 0);
    verify_free(&v);
    buf_done(&out);
    buf_done(&body);
}

TEST(who_does_not_exist_is_asked_what_others_are_and_nothing_is_hashed_meanwhile)
{
    static const struct {
        enum auth_type type;
        const char *known;
        enum secret_kind usual;
    } cases[] = {
        {AUTH_PLAIN, "pencil", SECRET_PLAIN}, {AUTH_PLAIN, PG_MD5, SECRET_MD5},
        {AUTH_PLAIN, PG_SCRAM, SECRET_SCRAM}, {AUTH_MD5, "pencil", SECRET_PLAIN},
        {AUTH_MD5, PG_MD5, SECRET_MD5},       {AUTH_MD5, PG_SCRAM, SECRET_SCRAM},
        {AUTH_SCRAM, "pencil", SECRET_PLAIN}, {AUTH_SCRAM, PG_MD5, SECRET_MD5},
        {AUTH_SCRAM, PG_SCRAM, SECRET_SCRAM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const char *const nobody[] = {NULL, ""};
        struct buf known = {0}, unknown = {0};
        question(cases[i].type, cases[i].known, cases[i].usual, &known);
        for (size_t n = 0; n < 2; n++) {
            buf_clear(&unknown);
            question(cases[i].type, nobody[n], cases[i].usual, &unknown);
            CHECK(bytes_equal(buf_view(&known), buf_view(&unknown)));
        }
        buf_done(&known);
        buf_done(&unknown);
    }
    keyring_forget();
}

TEST(any_lets_everybody_in_and_trust_whom_it_knows)
{
    struct verify *v = NULL;
    struct buf out = {0};
    struct fault why;
    struct user_secret eve = secret_of("eve", "");
    CHECK(verify_start(AUTH_ANY, "nobody", NULL, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       &why) == E_OK);
    verify_free(&v);
    CHECK(verify_start(AUTH_TRUST, "eve", &eve, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       &why) == E_OK);
    verify_free(&v);
    CHECK(verify_start(AUTH_TRUST, "nobody", NULL, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       &why) == E_AUTH);
    CHECK(v == NULL && buf_len(&out) == 0);
}

TEST(types_that_are_not_about_passwords_are_the_callers)
{
    static const enum auth_type types[] = {AUTH_CERT, AUTH_HBA, AUTH_LDAP, AUTH_PAM};
    struct buf out = {0};
    struct fault why;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct verify *v = NULL;
        CHECK(verify_start(types[i], "ann", NULL, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                           &why) == E_CONFIG);
        CHECK(v == NULL);
    }
}

TEST(a_clear_password_fits_every_kind_of_secret)
{
    static const char *const texts[] = {"pencil", PG_MD5, PG_SCRAM};
    struct fault why;
    for (size_t i = 0; i < 3; i++) {
        struct user_secret s = secret_of("mo", texts[i]);
        CHECK(login_plain(&s, BYTES("pencil\0"), &why) == E_OK);
        CHECK(login_plain(&s, BYTES("Pencil\0"), &why) == E_AUTH);
        CHECK_STR(why.text, "password authentication failed");
        CHECK(login_plain(&s, BYTES("pencil \0"), &why) == E_AUTH);
        CHECK(login_plain(&s, BYTES("\0"), &why) == E_AUTH);
        /* Who knows only the stored text does not know the password. */
        if (i > 0) {
            CHECK(login_plain(&s, bytes_of(texts[i], strlen(texts[i]) + 1), &why) == E_AUTH);
        }
    }
    keyring_forget();
}

TEST(nobody_and_an_empty_secret_fail_with_any_password)
{
    struct user_secret eve = secret_of("eve", "");
    struct fault why;
    CHECK(login_plain(NULL, BYTES("pencil\0"), &why) == E_AUTH);
    CHECK(login_plain(NULL, BYTES("\0"), &why) == E_AUTH);
    CHECK(login_plain(&eve, BYTES("\0"), &why) == E_AUTH);
    CHECK(login_md5(NULL, "", &why) == E_AUTH);
    CHECK(login_md5(&eve, "", &why) == E_AUTH);
    CHECK(scram_with(NULL, "pencil", &why) == E_AUTH);
    CHECK(scram_with(&eve, "", &why) == E_AUTH);
}

TEST(a_password_message_is_one_text)
{
    struct user_secret s = secret_of("mo", "pencil");
    struct fault why;
    CHECK(login_plain(&s, BYTES(""), &why) == E_PROTOCOL);
    CHECK(login_plain(&s, BYTES("pencil"), &why) == E_PROTOCOL);
    CHECK(login_plain(&s, BYTES("pencil\0x"), &why) == E_PROTOCOL);
    CHECK(login_plain(&s, BYTES("pencil\0\0"), &why) == E_PROTOCOL);
}

TEST(md5_fits_a_clear_and_an_md5_secret)
{
    static const char *const texts[] = {"pencil", PG_MD5};
    struct fault why;
    for (size_t i = 0; i < 2; i++) {
        struct user_secret s = secret_of("mo", texts[i]);
        CHECK(login_md5(&s, "pencil", &why) == E_OK);
        CHECK(login_md5(&s, "pencils", &why) == E_AUTH);
        CHECK_STR(why.text, "password authentication failed");
    }
}

TEST(md5_with_a_scram_secret_is_scram)
{
    struct user_secret s = secret_of("ann", PG_SCRAM);
    struct fault why;
    struct scram_client c = {.password = "pencil"};
    CHECK(login_scram(AUTH_MD5, &s, &c, &why) == E_OK);
    keyring_forget();
}

TEST(scram_fits_a_clear_and_a_scram_secret_but_not_an_md5_one)
{
    static const char *const texts[] = {"pencil", PG_SCRAM};
    struct fault why;
    for (size_t i = 0; i < 2; i++) {
        struct user_secret s = secret_of("ann", texts[i]);
        CHECK(scram_with(&s, "pencil", &why) == E_OK);
        CHECK(scram_with(&s, "pencil", &why) == E_OK);
        CHECK(scram_with(&s, "pencils", &why) == E_AUTH);
        CHECK_STR(why.text, "SASL authentication failed");
    }
    struct user_secret md5 = secret_of("ann", PG_MD5);
    CHECK(scram_with(&md5, "pencil", &why) == E_AUTH);
    keyring_forget();
}

TEST(a_scram_login_leaves_its_client_key_and_a_failed_one_does_not)
{
    struct user_secret s = secret_of("ann", PG_SCRAM);
    struct fault why;
    uint8_t key[SCRAM_KEY];
    CHECK(scram_with(&s, "pencils", &why) == E_AUTH);
    CHECK(!userlist_client_key(&s, key));
    CHECK(scram_with(&s, "pencil", &why) == E_OK);
    CHECK(userlist_client_key(&s, key));

    struct scram_client c = {.client_key = key, .server_key = s.scram.server_key};
    CHECK(login_scram(AUTH_SCRAM, &s, &c, &why) == E_OK);
    keyring_forget();
}

TEST(a_plain_login_with_a_scram_secret_leaves_the_client_key_too)
{
    struct user_secret s = secret_of("ann", PG_SCRAM);
    struct fault why;
    uint8_t key[SCRAM_KEY];
    CHECK(login_plain(&s, BYTES("pencil\0"), &why) == E_OK);
    CHECK(userlist_client_key(&s, key));
    keyring_forget();
}

/* What verify says to this SASLInitialResponse. */
static enum err initial_says(struct bytes body, struct fault *why)
{
    struct verify *v = NULL;
    struct buf out = {0};
    CHECK(verify_start(AUTH_SCRAM, "ann", NULL, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       why) == E_AGAIN);
    enum err e = verify_answer(v, body, &out, why);
    verify_free(&v);
    buf_done(&out);
    return e;
}

TEST(a_sasl_initial_response_is_read_strictly)
{
    struct fault why;
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc"), &why) == E_AGAIN);
    CHECK(initial_says(BYTES(""), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\0\0\0"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=abc"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\0\0\0\x0cn,,n=,r=abc"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\xff\xff\xff\xffn,,n=,r=abc"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256\0\x80\0\0\0"), &why) == E_PROTOCOL);
    CHECK(initial_says(BYTES("SCRAM-SHA-256-PLUS\0\0\0\0\x0bn,,n=,r=abc"), &why) == E_PROTOCOL);
    CHECK_STR(why.text, "client selected an invalid SASL authentication mechanism");
}

TEST(client_first_may_come_after_an_empty_challenge)
{
    struct verify *v = NULL;
    struct buf out = {0};
    struct fault why;
    CHECK(verify_start(AUTH_SCRAM, "ann", NULL, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       &why) == E_AGAIN);
    buf_clear(&out);
    CHECK(verify_answer(v, BYTES("SCRAM-SHA-256\0\xff\xff\xff\xff"), &out, &why) == E_AGAIN);
    CHECK(bytes_equal(buf_view(&out), BYTES("R\0\0\0\x08\0\0\0\x0b")));
    buf_clear(&out);
    CHECK(verify_answer(v, BYTES("n,,n=,r=abc"), &out, &why) == E_AGAIN);
    CHECK(request_in(&out).code == AUTH_REQ_SASL_CONTINUE);
    verify_free(&v);
    buf_done(&out);
}

TEST(an_answer_after_the_end_is_refused)
{
    struct user_secret s = secret_of("mo", "pencil");
    struct verify *v = NULL;
    struct buf out = {0};
    struct fault why;
    CHECK(verify_start(AUTH_PLAIN, "mo", &s, SECRET_PLAIN, NULL, SCRAM_ITERATIONS, &v, &out,
                       &why) == E_AGAIN);
    CHECK(verify_answer(v, BYTES("wrong\0"), &out, &why) == E_AUTH);
    CHECK(verify_answer(v, BYTES("pencil\0"), &out, &why) == E_PROTOCOL);
    verify_free(&v);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(who_does_not_exist_is_asked_what_others_are_and_nothing_is_hashed_meanwhile),
        RUN(any_lets_everybody_in_and_trust_whom_it_knows),
        RUN(types_that_are_not_about_passwords_are_the_callers),
        RUN(a_clear_password_fits_every_kind_of_secret),
        RUN(nobody_and_an_empty_secret_fail_with_any_password),
        RUN(a_password_message_is_one_text),
        RUN(md5_fits_a_clear_and_an_md5_secret),
        RUN(md5_with_a_scram_secret_is_scram),
        RUN(scram_fits_a_clear_and_a_scram_secret_but_not_an_md5_one),
        RUN(a_scram_login_leaves_its_client_key_and_a_failed_one_does_not),
        RUN(a_plain_login_with_a_scram_secret_leaves_the_client_key_too),
        RUN(a_sasl_initial_response_is_read_strictly),
        RUN(client_first_may_come_after_an_empty_challenge),
        RUN(an_answer_after_the_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
