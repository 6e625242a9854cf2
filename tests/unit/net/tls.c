/* Both ends of a connection in memory: what one puts out the other takes in. No socket. */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls.h"

static char *cert_file, *key_file;
static struct tls_context *server_context;
static struct tls *server, *client;

/* Signed by itself, for localhost. */
static void make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    FILE *f;
    CHECK(key != NULL && cert != NULL);
    (void)X509_set_version(cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                     -1, -1, 0);
    (void)X509_set_issuer_name(cert, name);
    X509_EXTENSION *alt =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost,IP:10.0.0.1");
    (void)X509_add_ext(cert, alt, -1);
    X509_EXTENSION_free(alt);
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    cert_file = mem_printf("tls-unit-%d.pem", (int)getpid());
    key_file = mem_printf("tls-unit-%d.key", (int)getpid());
    f = fopen(cert_file, "w");
    CHECK(f != NULL && PEM_write_X509(f, cert) == 1 && fclose(f) == 0);
    f = fopen(key_file, "w");
    CHECK(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 &&
          fclose(f) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static struct tls_settings settings(bool as_server)
{
    return (struct tls_settings){.server = as_server,
                                 .side = as_server ? "client_tls" : "server_tls",
                                 .cert_file = as_server ? cert_file : "",
                                 .key_file = as_server ? key_file : "",
                                 .ca_file = "",
                                 .crl_file = "",
                                 .tls1 = {false, false, true, true},
                                 .ciphers = "default",
                                 .tls13_ciphers = "",
                                 .ecdhcurve = "auto",
                                 .dheparams = "auto"};
}

static struct tls_context *context(const struct tls_settings *s)
{
    struct tls_context *c = NULL;
    struct fault why;
    CHECK(tls_context_new(s, &c, &why) == E_OK);
    return c;
}

static void use(struct tls_settings s, const char *host)
{
    struct tls_context *c = context(&s);
    client = tls_new(c, host);
    tls_context_unref(&c); /* the connection keeps it */
}

static int before_all(void **state)
{
    (void)state;
    make_files();
    struct tls_settings s = settings(true);
    server_context = context(&s);
    return 0;
}

static int after_all(void **state)
{
    (void)state;
    (void)unlink(cert_file);
    (void)unlink(key_file);
    mem_free(&cert_file);
    mem_free(&key_file);
    tls_context_unref(&server_context);
    return 0;
}

static int start(void **state)
{
    (void)state;
    server = tls_new(server_context, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    tls_free(&server);
    tls_free(&client);
    CHECK(server == NULL && client == NULL);
    return 0;
}

/* One side's turn: all that the other said so far. */
static enum err take(struct tls *t, struct buf *from, struct buf *to, struct fault *why)
{
    enum err e = tls_handshake(t, buf_view(from), to, why);
    buf_clear(from);
    return e;
}

/* Runs it to its end; what the client's last step says, else the server's failure. */
static enum err shake(struct fault *why)
{
    struct buf up = {0}, down = {0};
    enum err e = E_AGAIN, other = E_AGAIN;
    uint8_t room[TLS_RECORD_MOST];
    size_t len;
    for (int i = 0; i < 10 && (e == E_AGAIN || other == E_AGAIN); i++) {
        if (e == E_AGAIN) { e = take(client, &down, &up, why); }
        if (e != E_OK && e != E_AGAIN) { break; }
        if (other == E_AGAIN) { other = take(server, &up, &down, why); }
        if (other != E_OK && other != E_AGAIN) {
            e = other;
            break;
        }
    }
    if (e == E_OK) { /* session tickets */
        CHECK(tls_open(client, buf_view(&down), room, sizeof room, &len, &up) == E_OK);
        CHECK(len == 0);
    }
    buf_done(&up);
    buf_done(&down);
    return e;
}

static void check_agreed(void)
{
    struct fault why = {0};
    CHECK(shake(&why) == E_OK);
    CHECK(tls_is_ready(client) && tls_is_ready(server));
}

TEST(two_ends_agree_and_say_on_what)
{
    use(settings(false), NULL);
    CHECK_STR(tls_label(client), "");
    check_agreed();
    CHECK_STR(tls_label(client), "TLSv1.3/TLS_AES_256_GCM_SHA384/ECDH=X25519");
    CHECK_STR(tls_label(server), tls_label(client));
    CHECK_STR(tls_label(NULL), "");
    CHECK(tls_has_alpn(client) && tls_has_alpn(server));
    CHECK(!tls_is_resumed(client));
    CHECK(tls_peer_name(client) == NULL); /* not asked for, not checked */
    CHECK(tls_peer_name(server) == NULL && tls_peer_name(NULL) == NULL);
}

TEST(a_split_record_waits_for_its_end)
{
    use(settings(false), NULL);
    check_agreed();
    struct buf wire = {0}, back = {0};
    static uint8_t plain[40000], open[40000 + TLS_RECORD_MOST];
    memset(plain, 'x', sizeof plain);
    CHECK(tls_seal(client, bytes_of(plain, sizeof plain), &wire));
    CHECK(buf_len(&wire) > sizeof plain && buf_len(&wire) < sizeof plain + 200);
    size_t total = 0, len = 0;
    while (buf_len(&wire) > 0) {
        struct bytes part = buf_view(&wire);
        if (part.len > 1000) { part.len = 1000; }
        CHECK(tls_open(server, part, open + total, part.len + TLS_RECORD_MOST, &len, &back) ==
              E_OK);
        total += len;
        buf_consume(&wire, part.len);
    }
    CHECK(total == sizeof plain && memcmp(plain, open, total) == 0);
    CHECK(buf_len(&back) == 0);
    buf_done(&wire);
    buf_done(&back);
}

TEST(many_records_open_at_once)
{
    use(settings(false), NULL);
    check_agreed();
    struct buf wire = {0}, back = {0};
    uint8_t open[4096 + TLS_RECORD_MOST];
    size_t len = 0;
    for (int i = 0; i < 10; i++) { CHECK(tls_seal(server, BYTES("0123456789"), &wire)); }
    CHECK(tls_open(client, buf_view(&wire), open, sizeof open, &len, &back) == E_OK);
    CHECK(len == 100);
    buf_done(&wire);
    buf_done(&back);
}

TEST(what_comes_with_the_last_handshake_message_is_kept)
{
    use(settings(false), NULL);
    struct buf up = {0}, down = {0};
    struct fault why;
    uint8_t open[4096 + TLS_RECORD_MOST];
    size_t len = 0;
    CHECK(take(client, &down, &up, &why) == E_AGAIN);
    CHECK(take(server, &up, &down, &why) == E_AGAIN);
    CHECK(take(client, &down, &up, &why) == E_OK);
    CHECK(tls_seal(client, BYTES("hello"), &up));
    CHECK(tls_handshake(server, buf_view(&up), &down, &why) == E_OK);
    CHECK(tls_open(server, (struct bytes){0}, open, sizeof open, &len, &down) == E_OK);
    CHECK(bytes_equal(bytes_of(open, len), BYTES("hello")));
    buf_done(&up);
    buf_done(&down);
}

TEST(the_end_comes_after_the_bytes_before_it)
{
    use(settings(false), NULL);
    check_agreed();
    struct buf wire = {0}, back = {0};
    uint8_t open[4096 + TLS_RECORD_MOST];
    size_t len = 0;
    CHECK(tls_seal(server, BYTES("bye"), &wire));
    tls_end(server, &wire);
    CHECK(tls_open(client, buf_view(&wire), open, sizeof open, &len, &back) == E_EOF);
    CHECK(len == 3);
    buf_done(&wire);
    buf_done(&back);
}

TEST(a_changed_bit_is_found)
{
    use(settings(false), NULL);
    check_agreed();
    struct buf wire = {0}, back = {0};
    uint8_t open[4096 + TLS_RECORD_MOST];
    size_t len = 0;
    CHECK(tls_seal(server, BYTES("truth"), &wire));
    wire.data[wire.end - 1] ^= 1;
    CHECK(tls_open(client, buf_view(&wire), open, sizeof open, &len, &back) == E_IO);
    CHECK(buf_len(&back) > 0); /* the alert */
    buf_done(&wire);
    buf_done(&back);
}

TEST(garbage_is_no_handshake)
{
    struct buf out = {0};
    struct fault why = {0};
    CHECK(tls_handshake(server, BYTES("GET / HTTP/1.1\r\n\r\n"), &out, &why) == E_PROTOCOL);
    CHECK_STR(why.text, "TLS handshake failed: http request");
    buf_done(&out);
}

static struct tls_settings checking(enum tls_check check)
{
    struct tls_settings s = settings(false);
    s.check = check;
    s.ca_file = cert_file;
    return s;
}

TEST(a_checked_peer_has_a_name)
{
    use(checking(TLS_CHECK_NAME), "localhost");
    check_agreed();
    CHECK_STR(tls_peer_name(client), "localhost");
}

TEST(an_address_is_looked_for_among_addresses)
{
    use(checking(TLS_CHECK_NAME), "10.0.0.1");
    check_agreed();
}

TEST(another_host_is_refused)
{
    struct fault why = {0};
    use(checking(TLS_CHECK_NAME), "10.0.0.2");
    CHECK(shake(&why) == E_AUTH);
    CHECK_STR(why.text, "certificate verify failed: IP address mismatch");
    tls_free(&client);
    tls_free(&server);
    server = tls_new(server_context, NULL);
    use(checking(TLS_CHECK_NAME), "elsewhere");
    CHECK(shake(&why) == E_AUTH);
    CHECK_STR(why.text, "certificate verify failed: hostname mismatch");
}

TEST(both_ends_know_the_binding)
{
    uint8_t ours[TLS_BINDING_MOST], theirs[TLS_BINDING_MOST];
    use(settings(false), NULL);
    CHECK(tls_binding(server, ours) == 0 && tls_binding(NULL, ours) == 0);
    check_agreed();
    CHECK(tls_binding(server, ours) == 32 && tls_binding(client, theirs) == 32);
    CHECK(memcmp(ours, theirs, 32) == 0);
}

static void check_fails(struct tls_settings s, const char *want)
{
    struct tls_context *c = NULL;
    struct fault why = {0};
    CHECK(tls_context_new(&s, &c, &why) == E_CONFIG);
    CHECK(c == NULL);
    if (strstr(why.text, want) == NULL) { CHECK_STR(why.text, want); }
}

TEST(bad_settings_are_named)
{
    struct tls_settings s = settings(true);
    s.cert_file = "";
    check_fails(s, "client_tls_cert_file must be set");
    s = settings(true);
    s.key_file = "";
    check_fails(s, "client_tls_key_file must be set");
    s = settings(true);
    s.key_file = "/nonexistent";
    check_fails(s, "client_tls_key_file /nonexistent: No such file");
    s = settings(true);
    s.key_file = cert_file;
    check_fails(s, "client_tls_key_file tls-unit");
    s = settings(false);
    s.check = TLS_CHECK_CHAIN;
    check_fails(s, "server_tls_ca_file must be set to verify");
    s.ca_file = key_file;
    check_fails(s, "server_tls_ca_file tls-unit");
    s = settings(false);
    s.ca_file = cert_file;
    s.crl_file = cert_file;
    check_fails(s, "server_tls_crl_file tls-unit");
    s = settings(false);
    s.ciphers = "none of these";
    check_fails(s, "server_tls_ciphers none of these: ");
    s = settings(false);
    s.tls13_ciphers = "none";
    check_fails(s, "server_tls13_ciphers none: ");
    s = settings(false);
    s.ecdhcurve = "round";
    check_fails(s, "server_tls_ecdhcurve round: ");
    s = settings(false);
    s.dheparams = "many";
    check_fails(s, "server_tls_dheparams many: ");
}

static const char *agreed_version(unsigned first, unsigned last)
{
    static char version[16];
    struct tls_settings s = settings(false);
    struct fault why = {0};
    for (unsigned i = 0; i < 4; i++) { s.tls1[i] = i >= first && i <= last; }
    tls_free(&client);
    tls_free(&server);
    server = tls_new(server_context, NULL);
    use(s, NULL);
    (void)snprintf(version, sizeof version, "%.7s", shake(&why) == E_OK ? tls_label(client) : "no");
    return version;
}

TEST(versions_that_are_not_allowed_are_not_spoken)
{
    CHECK_STR(agreed_version(2, 3), "TLSv1.3");
    CHECK_STR(agreed_version(0, 3), "TLSv1.3");
    CHECK_STR(agreed_version(2, 2), "TLSv1.2");
    CHECK_STR(agreed_version(0, 2), "TLSv1.2");
    CHECK_STR(agreed_version(1, 1), "no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH(name) cmocka_unit_test_setup_teardown(name, start, stop)
        WITH(two_ends_agree_and_say_on_what),
        WITH(a_split_record_waits_for_its_end),
        WITH(many_records_open_at_once),
        WITH(what_comes_with_the_last_handshake_message_is_kept),
        WITH(the_end_comes_after_the_bytes_before_it),
        WITH(a_changed_bit_is_found),
        WITH(garbage_is_no_handshake),
        WITH(a_checked_peer_has_a_name),
        WITH(an_address_is_looked_for_among_addresses),
        WITH(another_host_is_refused),
        WITH(both_ends_know_the_binding),
        WITH(bad_settings_are_named),
        WITH(versions_that_are_not_allowed_are_not_spoken),
    };
    return cmocka_run_group_tests(tests, before_all, after_all);
}
