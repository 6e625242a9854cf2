/* Logins to servers: each request against each kind of secret, and servers that cheat. */
#include "unit.h"

#include "auth/keyring.h"
#include "auth/md5.h"
#include "auth/prove.h"
#include "secrets.h"

#define ASK_OK       BYTES("\0\0\0\0")
#define ASK_PASSWORD BYTES("\0\0\0\3")
#define ASK_MD5      BYTES("\0\0\0\5\1\2\3\4")
#define ASK_SASL     BYTES("\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")

static struct user_secret secret_of(const char *user, const char *text)
{
    struct user_secret s;
    CHECK(user_secret_read(user, text, &s) == E_OK);
    return s;
}

/* Feeds one request and checks the answer's bytes. */
static void check_answer(struct prove *p, struct bytes request, struct bytes want)
{
    struct buf out = {0};
    struct fault why;
    CHECK(prove_answer(p, request, &out, &why) == E_AGAIN);
    CHECK(bytes_equal(buf_view(&out), want));
    buf_done(&out);
}

static void check_fails(struct prove *p, struct bytes request, enum err want, const char *text)
{
    struct buf out = {0};
    struct fault why = {0};
    CHECK(prove_answer(p, request, &out, &why) == want);
    CHECK(buf_len(&out) == 0);
    CHECK(strstr(why.text, text) != NULL);
}

/* A new login of "mo" that must fail at its first request. */
static void check_refuses(const char *password, const char *secret_text, struct bytes request,
                          enum err want, const char *text)
{
    struct user_secret s = secret_of("mo", secret_text);
    struct prove *p = prove_new("mo", password, secret_text == NULL ? NULL : &s);
    check_fails(p, request, want, text);
    prove_free(&p);
}

static void check_ok(struct prove *p)
{
    struct buf out = {0};
    CHECK(prove_answer(p, ASK_OK, &out, NULL) == E_OK);
    CHECK(buf_len(&out) == 0);
}

TEST(a_server_that_trusts_us_asks_nothing)
{
    struct prove *p = prove_new("mo", NULL, NULL);
    check_ok(p);
    prove_free(&p);
    p = prove_new("mo", "pencil", NULL);
    check_ok(p);
    prove_free(&p);
}

TEST(a_clear_password_is_sent_when_asked_for)
{
    struct prove *p = prove_new("mo", "pencil", NULL);
    check_answer(p, ASK_PASSWORD, BYTES("p\0\0\0\x0bpencil\0"));
    check_ok(p);
    prove_free(&p);
}

TEST(md5_is_answered_from_a_password_and_from_an_md5_secret)
{
    char answer[MD5_SECRET + 1];
    struct buf want = {0};
    CHECK(md5_answer(PG_MD5, (const uint8_t *)"\1\2\3\4", answer, NULL) == E_OK);
    buf_put(&want, "p\0\0\0\x28", 5);
    buf_put_str(&want, answer);
    struct user_secret md5 = secret_of("mo", PG_MD5);
    struct prove *logins[] = {prove_new("mo", "pencil", NULL), prove_new("mo", NULL, &md5),
                              prove_new("mo", PG_MD5, NULL)};
    for (size_t i = 0; i < 3; i++) {
        check_answer(logins[i], ASK_MD5, buf_view(&want));
        check_ok(logins[i]);
        prove_free(&logins[i]);
    }
    buf_done(&want);
}

TEST(the_database_lines_password_wins)
{
    struct user_secret s = secret_of("mo", "other");
    struct prove *p = prove_new("mo", "pencil", &s);
    check_answer(p, ASK_PASSWORD, BYTES("p\0\0\0\x0bpencil\0"));
    prove_free(&p);
    p = prove_new("mo", NULL, &s);
    check_answer(p, ASK_PASSWORD, BYTES("p\0\0\0\x0aother\0"));
    prove_free(&p);
    p = prove_new("mo", "", &s);
    check_answer(p, ASK_PASSWORD, BYTES("p\0\0\0\x0aother\0"));
    prove_free(&p);
}

TEST(a_missing_secret_is_named)
{
    check_refuses(
        NULL, PG_MD5, ASK_SASL, E_AUTH,
        "server asks SCRAM-SHA-256 for user \"mo\", but auth_file has only an md5 secret");
    check_refuses(PG_MD5, NULL, ASK_SASL, E_AUTH, "but the database line has only an md5 secret");
    check_refuses(NULL, PG_SCRAM, ASK_MD5, E_AUTH,
                  "server asks MD5 for user \"mo\", but auth_file has only a SCRAM secret");
    check_refuses(
        NULL, PG_MD5, ASK_PASSWORD, E_AUTH,
        "server asks the password in clear text for user \"mo\", but auth_file has only an "
        "md5 secret");
    check_refuses(NULL, NULL, ASK_SASL, E_AUTH, "there is no password for it");
    check_refuses(NULL, "", ASK_PASSWORD, E_AUTH, "there is no password for it");
    check_refuses(NULL, PG_SCRAM, ASK_SASL, E_AUTH,
                  "no ClientKey is known yet: a client must log in by SCRAM first");
}

TEST(methods_that_are_not_supported_are_named)
{
    check_refuses("pencil", NULL, BYTES("\0\0\0\7"), E_REFUSED, "authentication method 7");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0aOAUTHBEARER\0\0"), E_REFUSED,
                  "no SASL mechanism that is supported");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0"), E_REFUSED,
                  "no SASL mechanism that is supported");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0a\0"), E_REFUSED, "no SASL mechanism");
}

TEST(malformed_requests_are_refused)
{
    check_refuses("pencil", NULL, BYTES(""), E_PROTOCOL, "malformed");
    check_refuses("pencil", NULL, BYTES("\0\0\0\5\1\2\3"), E_PROTOCOL, "malformed");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0aSCRAM-SHA-256"), E_PROTOCOL, "malformed");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0bv=1"), E_PROTOCOL, "out of turn");
    check_refuses("pencil", NULL, BYTES("\0\0\0\x0cv=1"), E_PROTOCOL, "out of turn");
}

TEST(a_request_is_answered_once)
{
    struct prove *p = prove_new("mo", "pencil", NULL);
    check_answer(p, ASK_PASSWORD, BYTES("p\0\0\0\x0bpencil\0"));
    check_fails(p, ASK_PASSWORD, E_PROTOCOL, "out of turn");
    check_fails(p, ASK_OK, E_PROTOCOL, "out of turn");
    prove_free(&p);
}

/* ---- SCRAM against our own server side */

struct sasl {
    struct prove *p;
    struct scram_server server;
    struct buf out, request;
};

/* The server's next request: its code and its message. */
static struct bytes request_of(struct sasl *x, uint32_t code, struct buf *message)
{
    buf_clear(&x->request);
    buf_put_u32(&x->request, code);
    buf_put_bytes(&x->request, buf_view(message));
    buf_done(message);
    return buf_view(&x->request);
}

/* The login up to client-final, which is then in x->out behind 5 bytes. */
static void run_to_final(struct sasl *x)
{
    struct buf message = {0};
    CHECK(prove_answer(x->p, ASK_SASL, &x->out, NULL) == E_AGAIN);
    struct bytes v = buf_view(&x->out);
    CHECK(v.ptr[0] == 'p' && memcmp(v.ptr + 5, "SCRAM-SHA-256", 14) == 0);
    CHECK(get_u32(v.ptr + 19) == v.len - 23);
    CHECK(scram_server_first(&x->server, bytes_skip(v, 23), &message, NULL) == E_OK);
    buf_clear(&x->out);
    CHECK(prove_answer(x->p, request_of(x, 11, &message), &x->out, NULL) == E_AGAIN);
    CHECK(buf_view(&x->out).ptr[0] == 'p');
}

static void end_sasl(struct sasl *x)
{
    prove_free(&x->p);
    scram_server_done(&x->server);
    buf_done(&x->out);
    buf_done(&x->request);
}

static void check_scram_login(struct sasl *x)
{
    struct buf message = {0};
    run_to_final(x);
    CHECK(scram_server_final(&x->server, bytes_skip(buf_view(&x->out), 5), &message, NULL) == E_OK);
    buf_clear(&x->out);
    CHECK(prove_answer(x->p, request_of(x, 12, &message), &x->out, NULL) == E_AGAIN);
    CHECK(buf_len(&x->out) == 0);
    check_ok(x->p);
}

TEST(scram_is_answered_from_a_password)
{
    struct sasl x = {.p = prove_new("ann", "pencil", NULL)};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    check_scram_login(&x);
    end_sasl(&x);
}

TEST(scram_is_passed_through_once_a_client_has_logged_in)
{
    struct user_secret s = secret_of("ann", PG_SCRAM);
    uint8_t key[SCRAM_KEY];
    CHECK(scram_secret_fits(&s.scram, BYTES("pencil"), key));
    userlist_keep_client_key(&s, key);
    struct sasl x = {.p = prove_new("ann", NULL, &s), .server.secret = s.scram};
    check_scram_login(&x);
    end_sasl(&x);
    keyring_forget();
}

static void check_mechanism(struct bytes request, const char *want)
{
    static const struct scram_channel channel = {.data = "c", .len = 1};
    struct prove *p = prove_new("ann", "pencil", NULL);
    struct buf out = {0};
    prove_bind(p, &channel);
    CHECK(prove_answer(p, request, &out, NULL) == E_AGAIN);
    const char *mechanism = (const char *)buf_view(&out).ptr + 5;
    CHECK_STR(mechanism, want);
    const char *first = mechanism + strlen(mechanism) + 1 + 4;
    CHECK(first[0] == (strcmp(want, SCRAM_MECHANISM_PLUS) == 0 ? 'p' : 'y'));
    prove_free(&p);
    buf_done(&out);
}

TEST(a_login_by_tls_is_bound_where_that_is_offered)
{
    check_mechanism(ASK_SASL, "SCRAM-SHA-256-PLUS");
    check_mechanism(BYTES("\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0"), "SCRAM-SHA-256-PLUS");
    check_mechanism(BYTES("\0\0\0\x0aSCRAM-SHA-256\0\0"), "SCRAM-SHA-256");
}

TEST(ok_before_the_server_has_proven_itself_is_refused)
{
    struct sasl x = {.p = prove_new("ann", "pencil", NULL)};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    run_to_final(&x);
    check_fails(x.p, ASK_OK, E_AUTH, "without proving");
    check_fails(x.p, ASK_OK, E_PROTOCOL, "out of turn");
    end_sasl(&x);

    x = (struct sasl){.p = prove_new("ann", "pencil", NULL)};
    CHECK(prove_answer(x.p, ASK_SASL, &x.out, NULL) == E_AGAIN);
    check_fails(x.p, ASK_OK, E_AUTH, "without proving");
    end_sasl(&x);
}

TEST(a_wrong_final_message_ends_the_login)
{
    struct sasl x = {.p = prove_new("ann", "pencil", NULL)};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    run_to_final(&x);
    check_fails(x.p, BYTES("\0\0\0\x0cv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), E_AUTH,
                "did not prove");
    check_fails(x.p, ASK_OK, E_PROTOCOL, "out of turn");
    end_sasl(&x);
}

TEST(a_server_cannot_step_down_to_the_password_in_the_middle)
{
    struct sasl x = {.p = prove_new("ann", "pencil", NULL)};
    CHECK(prove_answer(x.p, ASK_SASL, &x.out, NULL) == E_AGAIN);
    check_fails(x.p, ASK_PASSWORD, E_PROTOCOL, "out of turn");
    end_sasl(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_server_that_trusts_us_asks_nothing),
        RUN(a_clear_password_is_sent_when_asked_for),
        RUN(md5_is_answered_from_a_password_and_from_an_md5_secret),
        RUN(the_database_lines_password_wins),
        RUN(a_missing_secret_is_named),
        RUN(methods_that_are_not_supported_are_named),
        RUN(malformed_requests_are_refused),
        RUN(a_request_is_answered_once),
        RUN(scram_is_answered_from_a_password),
        RUN(scram_is_passed_through_once_a_client_has_logged_in),
        RUN(a_login_by_tls_is_bound_where_that_is_offered),
        RUN(ok_before_the_server_has_proven_itself_is_refused),
        RUN(a_wrong_final_message_ends_the_login),
        RUN(a_server_cannot_step_down_to_the_password_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
