/* SCRAM against RFC 7677's published exchange, PostgreSQL's secrets, and clients and servers that
 * cheat. */
#include "unit.h"

#include "auth/scram_internal.h"
#include "base/mem.h"
#include "secrets.h"

/* RFC 7677, section 3: user "user", password "pencil". */
#define RFC_CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_CLIENT_FIRST "n,,n=user,r=" RFC_CLIENT_NONCE
#define RFC_SERVER_FIRST "r=" RFC_CLIENT_NONCE RFC_SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_CLIENT_FINAL                                                                           \
    "c=biws,r=" RFC_CLIENT_NONCE RFC_SERVER_NONCE ",p=dHzbZapWIk4jUhN+"                            \
    "Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* Salt of the RFC, keys of the password. */
static struct scram_secret rfc_secret(void)
{
    struct scram_secret s = {.iterations = 4096, .salt_len = 16};
    uint8_t client_key[SCRAM_KEY];
    memcpy(s.salt, "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81", 16);
    scram_keys(BYTES("pencil"), bytes_of(s.salt, s.salt_len), 4096, client_key, s.server_key);
    scram_stored_key(client_key, s.stored_key);
    return s;
}

TEST(our_server_speaks_the_rfcs_exchange)
{
    struct scram_server s = {.secret = rfc_secret()};
    struct buf out = {0};
    CHECK(scram_server_first_with(&s, BYTES(RFC_CLIENT_FIRST), RFC_SERVER_NONCE, &out, NULL) ==
          E_OK);
    CHECK_STR(buf_text(&out), RFC_SERVER_FIRST);
    buf_clear(&out);
    CHECK(scram_server_final(&s, BYTES(RFC_CLIENT_FINAL), &out, NULL) == E_OK);
    CHECK_STR(buf_text(&out), RFC_SERVER_FINAL);
    uint8_t stored_key[SCRAM_KEY];
    scram_stored_key(s.client_key, stored_key);
    CHECK(memcmp(stored_key, s.secret.stored_key, SCRAM_KEY) == 0);
    scram_server_done(&s);
    buf_done(&out);
}

TEST(our_client_speaks_the_rfcs_exchange)
{
    struct scram_client c = {.password = "pencil"};
    struct buf out = {0};
    scram_client_first_with(&c, "user", RFC_CLIENT_NONCE, &out);
    CHECK_STR(buf_text(&out), RFC_CLIENT_FIRST);
    buf_clear(&out);
    CHECK(scram_client_final(&c, BYTES(RFC_SERVER_FIRST), &out, NULL) == E_OK);
    CHECK_STR(buf_text(&out), RFC_CLIENT_FINAL);
    CHECK(scram_client_verify(&c, BYTES(RFC_SERVER_FINAL), NULL) == E_OK);
    scram_client_done(&c);
    buf_done(&out);
}

/* ---- secrets */

static bool same_secret(const struct scram_secret *a, const struct scram_secret *b)
{
    return a->iterations == b->iterations &&
           bytes_equal(bytes_of(a->salt, a->salt_len), bytes_of(b->salt, b->salt_len)) &&
           memcmp(a->stored_key, b->stored_key, SCRAM_KEY) == 0 &&
           memcmp(a->server_key, b->server_key, SCRAM_KEY) == 0;
}

TEST(a_secret_that_postgresql_made_fits_its_password)
{
    struct scram_secret s;
    uint8_t key[SCRAM_KEY], stored_key[SCRAM_KEY];
    CHECK(scram_secret_read(PG_SCRAM, &s) == E_OK);
    CHECK(s.iterations == 4096 && s.salt_len == 16);
    CHECK(scram_secret_fits(&s, BYTES("pencil"), key));
    scram_stored_key(key, stored_key);
    CHECK(memcmp(stored_key, s.stored_key, SCRAM_KEY) == 0);
    CHECK(!scram_secret_fits(&s, BYTES("pencil "), NULL));
    CHECK(!scram_secret_fits(&s, BYTES(""), NULL));
    CHECK(scram_secret_read(PG_SCRAM_UMLAUT, &s) == E_OK);
    CHECK(scram_secret_fits(&s, BYTES("p\xc3\xa4sswört"), NULL));
}

TEST(malformed_secrets_are_refused)
{
    static const char salt[] = "PWBstVQPpgsbx/toDBBchA==";
    static const char key[] = "XVVCsOYC8ZqFZ8DSezJBcHJiMRVWTvGPWAx2tQHRKaE=";
    struct {
        const char *mechanism, *iterations, *salt, *stored, *server;
        enum err want;
    } cases[] = {
        {"SCRAM-SHA-256", "4096", salt, key, key, E_OK},
        {"SCRAM-SHA-256", "2147483647", salt, key, key, E_OK},
        {"SCRAM-SHA-1", "4096", salt, key, key, E_SYNTAX},
        {"scram-sha-256", "4096", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "0", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "-1", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "2147483648", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "99999999999999999999", salt, key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "4096", "", key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "4096", "!", key, key, E_SYNTAX},
        {"SCRAM-SHA-256", "4096", salt, "", key, E_SYNTAX},
        {"SCRAM-SHA-256", "4096", salt, key, "", E_SYNTAX},
        {"SCRAM-SHA-256", "4096", salt, salt, key, E_SYNTAX},
        {"SCRAM-SHA-256", "4096", salt, key, salt, E_SYNTAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = mem_printf("%s$%s:%s$%s:%s", cases[i].mechanism, cases[i].iterations,
                                cases[i].salt, cases[i].stored, cases[i].server);
        struct scram_secret s;
        CHECK(scram_secret_read(text, &s) == cases[i].want);
        mem_free(&text);
    }
    struct scram_secret s;
    CHECK(scram_secret_read("", &s) == E_SYNTAX);
    CHECK(scram_secret_read("SCRAM-SHA-256$", &s) == E_SYNTAX);
    CHECK(scram_secret_read("SCRAM-SHA-256$4096:PWBstVQPpgsbx/toDBBchA==", &s) == E_SYNTAX);
}

TEST(a_salt_that_is_too_long_is_a_limit)
{
    struct buf text = {0};
    struct scram_secret s;
    buf_printf(&text, "SCRAM-SHA-256$4096:");
    for (int i = 0; i < 22; i++) { buf_printf(&text, "AAAA"); } /* 66 bytes */
    buf_printf(&text, "$XVVCsOYC8ZqFZ8DSezJBcHJiMRVWTvGPWAx2tQHRKaE=:"
                      "XVVCsOYC8ZqFZ8DSezJBcHJiMRVWTvGPWAx2tQHRKaE=");
    CHECK(scram_secret_read(buf_text(&text), &s) == E_LIMIT);
    buf_done(&text);
}

TEST(a_made_secret_fits_and_has_a_salt_of_its_own)
{
    struct scram_secret a, b;
    CHECK(scram_secret_make("pw", 10, &a) == E_OK);
    CHECK(scram_secret_make("pw", 10, &b) == E_OK);
    CHECK(scram_secret_fits(&a, BYTES("pw"), NULL) && scram_secret_fits(&b, BYTES("pw"), NULL));
    CHECK(memcmp(a.salt, b.salt, 16) != 0);
    CHECK(scram_secret_make("pw", 0, &a) == E_LIMIT);
    CHECK(scram_secret_make("pw", UINT32_MAX, &a) == E_LIMIT);
}

static void derive(const char *user, const char *password, uint32_t iterations,
                   struct scram_secret *ret)
{
    scram_secret_promise(user, password, iterations, ret);
    scram_secret_keep(ret, password);
}

TEST(a_derived_secret_is_the_same_each_time_but_not_for_another)
{
    struct scram_secret a, b;
    derive("ann", "pw", SCRAM_ITERATIONS, &a);
    derive("ann", "pw", SCRAM_ITERATIONS, &b);
    CHECK(same_secret(&a, &b));
    CHECK(scram_secret_fits(&a, BYTES("pw"), NULL));
    derive("bob", "pw", SCRAM_ITERATIONS, &b);
    CHECK(memcmp(a.salt, b.salt, 16) != 0);
    derive("ann", "pw2", SCRAM_ITERATIONS, &b);
    CHECK(memcmp(a.salt, b.salt, 16) != 0);
}

TEST(derived_and_mock_secrets_have_the_iterations_asked_for)
{
    struct scram_secret s;
    derive("ann", "pw", 1000, &s);
    CHECK(s.iterations == 1000 && scram_secret_fits(&s, BYTES("pw"), NULL));
    scram_secret_mock("nobody", 1000, &s);
    CHECK(s.iterations == 1000);
}

TEST(an_absurd_secret_is_not_computed)
{
    struct scram_secret s;
    CHECK(scram_secret_make("pw", 10, &s) == E_OK);
    s.iterations = INT32_MAX;
    CHECK(!scram_secret_fits(&s, BYTES("pw"), NULL));
}

TEST(a_mock_secret_is_stable_for_its_name)
{
    struct scram_secret a, b, c;
    scram_secret_mock("nobody", SCRAM_ITERATIONS, &a);
    scram_secret_mock("nobody", SCRAM_ITERATIONS, &b);
    scram_secret_mock("nobodx", SCRAM_ITERATIONS, &c);
    CHECK(same_secret(&a, &b));
    CHECK(memcmp(a.salt, c.salt, 16) != 0);
    CHECK(a.iterations == SCRAM_ITERATIONS && a.salt_len == 16);
}

/* ---- both of ours against each other */

struct exchange {
    struct scram_server server;
    struct scram_client client;
    struct buf first, challenge, final, proof;
};

/* As far as the server's answer to client-final. */
static enum err run_exchange(struct exchange *x, struct fault *why)
{
    scram_client_first(&x->client, &x->first);
    CHECK(scram_server_first(&x->server, buf_view(&x->first), &x->challenge, why) == E_OK);
    CHECK(scram_client_final(&x->client, buf_view(&x->challenge), &x->final, why) == E_OK);
    return scram_server_final(&x->server, buf_view(&x->final), &x->proof, why);
}

static void end_exchange(struct exchange *x)
{
    scram_server_done(&x->server);
    scram_client_done(&x->client);
    buf_done(&x->first);
    buf_done(&x->challenge);
    buf_done(&x->final);
    buf_done(&x->proof);
}

TEST(a_right_password_is_proven_by_both_sides)
{
    struct exchange x = {.client.password = "pencil"};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    CHECK(run_exchange(&x, NULL) == E_OK);
    CHECK(scram_client_verify(&x.client, buf_view(&x.proof), NULL) == E_OK);
    end_exchange(&x);
}

TEST(a_learned_client_key_logs_in_without_the_password)
{
    struct exchange x = {.client.password = "pencil"};
    uint8_t client_key[SCRAM_KEY];
    struct scram_secret secret;
    CHECK(scram_secret_read(PG_SCRAM, &secret) == E_OK);
    x.server.secret = secret;
    CHECK(run_exchange(&x, NULL) == E_OK);
    memcpy(client_key, x.server.client_key, SCRAM_KEY);
    end_exchange(&x);

    x = (struct exchange){.client = {.client_key = client_key, .server_key = secret.server_key}};
    x.server.secret = secret;
    CHECK(run_exchange(&x, NULL) == E_OK);
    CHECK(scram_client_verify(&x.client, buf_view(&x.proof), NULL) == E_OK);
    end_exchange(&x);
}

TEST(a_wrong_password_and_an_unknown_user_fail_alike)
{
    struct fault wrong, unknown;
    struct exchange x = {.client.password = "pencils"};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    CHECK(run_exchange(&x, &wrong) == E_AUTH);
    CHECK(buf_len(&x.proof) == 0);
    size_t challenge_len = buf_len(&x.challenge);
    end_exchange(&x);

    x = (struct exchange){.client.password = "pencil", .server.mock = true};
    scram_secret_mock("nobody", SCRAM_ITERATIONS, &x.server.secret);
    CHECK(run_exchange(&x, &unknown) == E_AUTH);
    CHECK(buf_len(&x.proof) == 0 && buf_len(&x.challenge) == challenge_len);
    CHECK_STR(wrong.text, unknown.text);
    end_exchange(&x);
}

TEST(a_mock_fails_even_with_a_fitting_proof)
{
    struct exchange x = {.client.password = "pencil", .server.mock = true};
    CHECK(scram_secret_read(PG_SCRAM, &x.server.secret) == E_OK);
    CHECK(run_exchange(&x, NULL) == E_AUTH);
    end_exchange(&x);
}

TEST(nonces_differ_from_login_to_login)
{
    char *a = scram_nonce(), *b = scram_nonce();
    CHECK(strlen(a) == 24 && strlen(b) == 24 && strcmp(a, b) != 0);
    mem_free(&a);
    mem_free(&b);
}

/* ---- clients that cheat */

/* What the server says to this client-first. */
static enum err first_says(const char *message, size_t len, struct fault *why)
{
    struct scram_server s = {.secret = rfc_secret()};
    struct buf out = {0};
    enum err e = scram_server_first(&s, bytes_of(message, len), &out, why);
    CHECK((e == E_OK) == (buf_len(&out) > 0));
    scram_server_done(&s);
    buf_done(&out);
    return e;
}

TEST(client_first_is_read_strictly)
{
    static const char *const good[] = {"n,,n=,r=abc", "y,,n=ann,r=abc", "n,,n=,r=abc,x=ignored"};
    static const char *const bad[] = {"",
                                      "n",
                                      "n,",
                                      "n,,",
                                      "n,,n=",
                                      "n,,n=,",
                                      "n,,n=,r=",
                                      "n,,n=,r=a,",
                                      "x,,n=,r=a",
                                      "nn,n=,r=a",
                                      "n,x,n=,r=a",
                                      "n,a=bob,n=,r=a",
                                      "n,,m=1,n=,r=a",
                                      "n,,r=a,n=",
                                      "n,,n=,s=a",
                                      "n,,n=,r=a b",
                                      "n,,n=,r=\x7f",
                                      "n,,n=,r=a,=x",
                                      "n,,n=,r=a,xy",
                                      "p=tls-server-end-point,,n=,r=a"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(first_says(good[i], strlen(good[i]), NULL) == E_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(first_says(bad[i], strlen(bad[i]), NULL) == E_PROTOCOL);
    }
    CHECK(first_says("n,,n=,r=a\0b", 11, NULL) == E_PROTOCOL);
}

TEST(channel_binding_is_refused_in_words)
{
    struct fault why;
    static const char first[] = "p=tls-server-end-point,,n=,r=a";
    CHECK(first_says(first, sizeof first - 1, &why) == E_PROTOCOL);
    CHECK(strstr(why.text, "channel binding") != NULL);
}

static const struct scram_channel channel = {.data = "the channel", .len = 11};

/* A login between our two sides; the server's verdict. */
static enum err bound_login(bool plus, const struct scram_channel *of_client,
                            const struct scram_channel *of_server, struct fault *why)
{
    struct scram_client c = {.password = "pencil", .plus = plus, .channel = *of_client};
    struct scram_server s = {.secret = rfc_secret(), .plus = plus, .channel = *of_server};
    struct buf up = {0}, down = {0};
    scram_client_first(&c, &up);
    enum err e = scram_server_first(&s, buf_view(&up), &down, why);
    buf_clear(&up);
    if (e == E_OK) { e = scram_client_final(&c, buf_view(&down), &up, why); }
    buf_clear(&down);
    if (e == E_OK) { e = scram_server_final(&s, buf_view(&up), &down, why); }
    if (e == E_OK) { CHECK(scram_client_verify(&c, buf_view(&down), why) == E_OK); }
    scram_client_done(&c);
    scram_server_done(&s);
    buf_done(&up);
    buf_done(&down);
    return e;
}

TEST(both_sides_prove_their_channel)
{
    static const struct scram_channel none = {.len = 0};
    static const struct scram_channel other = {.data = "another one", .len = 11};
    struct fault why = {0};
    CHECK(bound_login(true, &channel, &channel, &why) == E_OK);
    CHECK(bound_login(true, &channel, &other, &why) == E_AUTH);
    CHECK_STR(why.text, "SCRAM channel binding check failed");
    CHECK_STR(why.sqlstate, "28000");
    CHECK(bound_login(false, &none, &channel, &why) == E_OK); /* a client that cannot */
    CHECK(bound_login(false, &channel, &none, &why) == E_OK); /* a server that cannot */
}

TEST(an_offer_that_was_taken_away_is_noticed)
{
    struct fault why = {0};
    CHECK(bound_login(false, &channel, &channel, &why) == E_AUTH);
    CHECK_STR(why.text, "SCRAM channel binding negotiation error");
}

static enum err bound_first_says(const char *text)
{
    struct scram_server s = {.secret = rfc_secret(), .plus = true, .channel = channel};
    struct buf out = {0};
    struct fault why;
    enum err e = scram_server_first(&s, bytes_str(text), &out, &why);
    scram_server_done(&s);
    buf_done(&out);
    return e;
}

TEST(a_bound_login_says_to_what)
{
    CHECK(bound_first_says("p=tls-server-end-point,,n=,r=a") == E_OK);
    static const char *const bad[] = {"n,,n=,r=a",
                                      "y,,n=,r=a",
                                      "p,,n=,r=a",
                                      "p=,,n=,r=a",
                                      "p=tls-unique,,n=,r=a",
                                      "p=tls-server-end-point",
                                      "p=tls-server-end-point,",
                                      "p=tls-server-end-pointx,,n=,r=a",
                                      "p=tls-server-end-point,a=x,n=,r=a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(bound_first_says(bad[i]) == E_PROTOCOL);
    }
}

TEST(a_message_that_is_too_long_is_refused)
{
    char message[SCRAM_MESSAGE_MAX + 1];
    memset(message, 'a', sizeof message);
    for (size_t i = 0; i < 8; i++) { message[i] = "n,,n=,r="[i]; }
    CHECK(first_says(message, SCRAM_MESSAGE_MAX, NULL) == E_OK);
    CHECK(first_says(message, SCRAM_MESSAGE_MAX + 1, NULL) == E_PROTOCOL);
}

/* What the server says to this client-final, in the RFC's exchange with another flag. */
static enum err final_says(const char *client_first, const char *client_final)
{
    struct scram_server s = {.secret = rfc_secret()};
    struct buf out = {0};
    CHECK(scram_server_first_with(&s, bytes_str(client_first), RFC_SERVER_NONCE, &out, NULL) ==
          E_OK);
    buf_clear(&out);
    enum err e = scram_server_final(&s, bytes_str(client_final), &out, NULL);
    CHECK((e == E_OK) == (buf_len(&out) > 0));
    scram_server_done(&s);
    buf_done(&out);
    return e;
}

TEST(client_final_is_read_strictly)
{
#define NONCE "r=" RFC_CLIENT_NONCE RFC_SERVER_NONCE
#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    static const char *const bad[] = {
        "",
        "c=biws",
        "c=biws," NONCE,
        NONCE "," PROOF,
        "c=biws," PROOF,
        "c=biws," NONCE "," PROOF ",",
        "c=biws," NONCE "," PROOF ",x=1",
        "c=biws," NONCE ",p=",
        "c=biws," NONCE ",p=AAAA",
        "c=biws," NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
        "c=biws," NONCE ",," PROOF,
        "c=biws,r=" RFC_CLIENT_NONCE "," PROOF,
        "c=biws,r=," PROOF,
        "c=eSws," NONCE "," PROOF, /* 'y' now, but 'n' before */
        "c=cD10bHMsLA==," NONCE "," PROOF,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(final_says(RFC_CLIENT_FIRST, bad[i]) == E_PROTOCOL);
    }
    CHECK(final_says(RFC_CLIENT_FIRST, RFC_CLIENT_FINAL) == E_OK);
    /* The proof signs every byte: an extension that was slipped in breaks it. */
    CHECK(final_says(RFC_CLIENT_FIRST, "c=biws," NONCE ",x=1," PROOF) == E_AUTH);
    CHECK(final_says("n,,n=other,r=" RFC_CLIENT_NONCE, RFC_CLIENT_FINAL) == E_AUTH);
    CHECK(final_says("y,,n=user,r=" RFC_CLIENT_NONCE, RFC_CLIENT_FINAL) == E_PROTOCOL);
    /* With 'y' on both sides the exchange is well-formed; the RFC's proof does not fit it. */
    CHECK(final_says("y,,n=user,r=" RFC_CLIENT_NONCE, "c=eSws," NONCE "," PROOF) == E_AUTH);
}

TEST(a_final_message_without_a_first_is_refused)
{
    struct scram_server s = {.secret = rfc_secret(), .binding_flag = 'n'};
    struct buf out = {0};
    CHECK(scram_server_final(&s, BYTES(RFC_CLIENT_FINAL), &out, NULL) == E_PROTOCOL);
    scram_server_done(&s);
    buf_done(&out);
}

/* ---- servers that cheat */

static enum err challenge_says(const char *server_first, struct fault *why)
{
    struct scram_client c = {.password = "pencil"};
    struct buf out = {0};
    scram_client_first_with(&c, "", "abc", &out);
    buf_clear(&out);
    enum err e = scram_client_final(&c, bytes_str(server_first), &out, why);
    CHECK((e == E_OK) == (buf_len(&out) > 0));
    scram_client_done(&c);
    buf_done(&out);
    return e;
}

TEST(a_challenge_is_read_strictly)
{
    static const char *const bad[] = {
        "",
        "r=abcd",
        "r=abcd,s=AAAA",
        "r=abc,s=AAAA,i=1",   /* no nonce of the server's own */
        "r=xabcd,s=AAAA,i=1", /* not ours in front */
        "r=abcd,s=,i=1",
        "r=abcd,s=A,i=1",
        "r=abcd,s=AAAA,i=0",
        "r=abcd,s=AAAA,i=-1",
        "r=abcd,s=AAAA,i=1x",
        "r=abcd,s=AAAA,i=4294967297",
        "r=abcd,s=AAAA,i=1,",
        "r=abcd,s=AAAA,i=1,1=x",
        "e=other-error",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(challenge_says(bad[i], NULL) == E_PROTOCOL);
    }
    CHECK(challenge_says("r=abcd,s=AAAA,i=1", NULL) == E_OK);
    CHECK(challenge_says("r=abcd,s=AAAA,i=1,x=later", NULL) == E_OK);
}

TEST(absurd_iterations_are_a_limit)
{
    struct fault why;
    CHECK(challenge_says("r=abcd,s=AAAA,i=2147483647", &why) == E_LIMIT);
    CHECK(strstr(why.text, "2147483647") != NULL);
    CHECK(challenge_says("r=abcd,s=AAAA,i=1000001", &why) == E_LIMIT);
}

TEST(a_server_that_does_not_know_the_secret_is_found_out)
{
    struct scram_client c = {.password = "pencil"};
    struct buf out = {0};
    struct fault why;
    scram_client_first_with(&c, "user", RFC_CLIENT_NONCE, &out);
    buf_clear(&out);
    CHECK(scram_client_final(&c, BYTES(RFC_SERVER_FIRST), &out, NULL) == E_OK);
    CHECK(scram_client_verify(&c, BYTES("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &why) ==
          E_AUTH);
    CHECK(scram_client_verify(&c, BYTES("v="), &why) == E_AUTH);
    CHECK(scram_client_verify(&c, BYTES(""), &why) == E_AUTH);
    CHECK(scram_client_verify(&c, BYTES("e=invalid-proof"), &why) == E_AUTH);
    CHECK_STR(why.text, "the server ended the SCRAM exchange: invalid-proof");
    CHECK(scram_client_verify(&c, BYTES("e=a\nforged=line"), &why) == E_AUTH);
    CHECK(strstr(why.text, "forged") == NULL);
    CHECK(scram_client_verify(&c, BYTES(RFC_SERVER_FINAL), &why) == E_OK);
    scram_client_done(&c);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(our_server_speaks_the_rfcs_exchange),
        RUN(our_client_speaks_the_rfcs_exchange),
        RUN(a_secret_that_postgresql_made_fits_its_password),
        RUN(malformed_secrets_are_refused),
        RUN(a_salt_that_is_too_long_is_a_limit),
        RUN(a_made_secret_fits_and_has_a_salt_of_its_own),
        RUN(a_derived_secret_is_the_same_each_time_but_not_for_another),
        RUN(derived_and_mock_secrets_have_the_iterations_asked_for),
        RUN(an_absurd_secret_is_not_computed),
        RUN(a_mock_secret_is_stable_for_its_name),
        RUN(a_right_password_is_proven_by_both_sides),
        RUN(a_learned_client_key_logs_in_without_the_password),
        RUN(a_wrong_password_and_an_unknown_user_fail_alike),
        RUN(a_mock_fails_even_with_a_fitting_proof),
        RUN(nonces_differ_from_login_to_login),
        RUN(client_first_is_read_strictly),
        RUN(channel_binding_is_refused_in_words),
        RUN(both_sides_prove_their_channel),
        RUN(an_offer_that_was_taken_away_is_noticed),
        RUN(a_bound_login_says_to_what),
        RUN(a_message_that_is_too_long_is_refused),
        RUN(client_final_is_read_strictly),
        RUN(a_final_message_without_a_first_is_refused),
        RUN(a_challenge_is_read_strictly),
        RUN(absurd_iterations_are_a_limit),
        RUN(a_server_that_does_not_know_the_secret_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
