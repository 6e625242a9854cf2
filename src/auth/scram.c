/* SCRAM's secrets and keys, and the reading of attributes that both sides share. */
#include "auth/scram_internal.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/keyring.h"
#include "auth/saslprep.h"
#include "base/mem.h"
#include "base/random.h"

_Static_assert((int)SCRAM_KEY == (int)CRYPTO_SHA256, "SCRAM's keys are hashes");
_Static_assert(2 * (int)SCRAM_KEY == (int)KEYRING_DATA,
               "ClientKey and ServerKey are kept together");

enum { SALT_LEN = 16, NONCE_BYTES = 18 }; /* as PostgreSQL has them */

/* ---- attributes */

bool scram_attribute(struct bytes *left, uint8_t name, struct bytes *ret_value)
{
    if (left->len < 2 || left->ptr[0] != name || left->ptr[1] != '=') { return false; }
    struct bytes value = bytes_skip(*left, 2);
    const uint8_t *comma = value.len == 0 ? NULL : memchr(value.ptr, ',', value.len);
    if (comma == NULL) {
        *left = bytes_skip(value, value.len);
    } else {
        size_t len = (size_t)(comma - value.ptr);
        if (len + 1 == value.len) { return false; }
        *left = bytes_skip(value, len + 1);
        value.len = len;
    }
    *ret_value = value;
    return true;
}

bool scram_extension(struct bytes *left)
{
    struct bytes value;
    if (left->len == 0) { return false; }
    uint8_t name = left->ptr[0];
    bool letter = (name >= 'A' && name <= 'Z') || (name >= 'a' && name <= 'z');
    return letter && scram_attribute(left, name, &value);
}

bool scram_is_nonce(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < 0x21 || value.ptr[i] > 0x7e || value.ptr[i] == ',') { return false; }
    }
    return value.len > 0;
}

bool scram_iterations(struct bytes text, uint32_t *ret)
{
    if (text.len == 0 || text.len > 10 || text.ptr[0] == '0') { return false; }
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') { return false; }
        n = n * 10 + (text.ptr[i] - '0');
    }
    if (n > INT32_MAX) { return false; }
    *ret = (uint32_t)n;
    return true;
}

/* ---- keys */

/* RFC 5802's SaltedPassword. */
static void salt_password(struct bytes password, struct bytes salt, uint32_t iterations,
                          uint8_t ret[CRYPTO_SHA256])
{
    char *prepared = saslprep(password);
    crypto_pbkdf2(prepared == NULL ? password : bytes_str(prepared), salt, iterations, ret);
    if (prepared != NULL) { mem_wipe(prepared, strlen(prepared)); }
    mem_free(&prepared);
}

void scram_keys(struct bytes password, struct bytes salt, uint32_t iterations,
                uint8_t ret_client_key[SCRAM_KEY], uint8_t ret_server_key[SCRAM_KEY])
{
    uint8_t id[KEYRING_ID], pair[KEYRING_DATA], rounds[4];
    put_u32(rounds, iterations);
    const struct bytes parts[] = {password, salt, bytes_of(rounds, sizeof rounds)};
    keyring_id("scram keys", parts, 3, id);
    if (!keyring_find(id, pair)) {
        uint8_t salted[CRYPTO_SHA256];
        salt_password(password, salt, iterations, salted);
        struct bytes key = bytes_of(salted, sizeof salted);
        crypto_hmac(key, BYTES("Client Key"), pair);
        crypto_hmac(key, BYTES("Server Key"), pair + SCRAM_KEY);
        mem_wipe(salted, sizeof salted);
        keyring_keep(id, pair);
    }
    memcpy(ret_client_key, pair, SCRAM_KEY);
    memcpy(ret_server_key, pair + SCRAM_KEY, SCRAM_KEY);
    mem_wipe(pair, sizeof pair);
}

void scram_stored_key(const uint8_t client_key[SCRAM_KEY], uint8_t ret[SCRAM_KEY])
{
    crypto_sha256(bytes_of(client_key, SCRAM_KEY), ret);
}

void scram_sign(const uint8_t key[SCRAM_KEY], struct bytes client_first_bare,
                struct bytes server_first, struct bytes client_final, uint8_t ret[SCRAM_KEY])
{
    struct buf text = {0};
    buf_put_bytes(&text, client_first_bare);
    buf_put_u8(&text, ',');
    buf_put_bytes(&text, server_first);
    buf_put_u8(&text, ',');
    buf_put_bytes(&text, client_final);
    crypto_hmac(bytes_of(key, SCRAM_KEY), buf_view(&text), ret);
    buf_done(&text);
}

void scram_put_header(struct buf *out, uint8_t flag)
{
    if (flag == 'p') {
        buf_printf(out, "p=tls-server-end-point,,");
    } else {
        buf_printf(out, "%c,,", flag);
    }
}

void scram_put_binding(struct buf *out, uint8_t flag, const struct scram_channel *channel)
{
    struct buf bytes = {0};
    scram_put_header(&bytes, flag);
    if (flag == 'p') { buf_put(&bytes, channel->data, channel->len); }
    base64_put(out, buf_view(&bytes));
    buf_done(&bytes);
}

char *scram_nonce(void)
{
    uint8_t raw[NONCE_BYTES];
    struct buf text = {0};
    random_fill(raw, sizeof raw);
    base64_put(&text, bytes_of(raw, sizeof raw));
    char *nonce = mem_strndup((const char *)buf_view(&text).ptr, buf_len(&text));
    buf_done(&text);
    return nonce;
}

/* ---- secrets */

static struct bytes salt_of(const struct scram_secret *s)
{
    return bytes_of(s->salt, s->salt_len);
}

/* Cuts `left` at the separator and takes what stands before it. */
static bool take_until(struct bytes *left, char separator, struct bytes *ret)
{
    const uint8_t *at = left->len == 0 ? NULL : memchr(left->ptr, separator, left->len);
    if (at == NULL) { return false; }
    *ret = bytes_of(left->ptr, (size_t)(at - left->ptr));
    *left = bytes_skip(*left, ret->len + 1);
    return true;
}

static enum err read_key(struct bytes text, uint8_t ret[SCRAM_KEY])
{
    size_t len = 0;
    enum err e = base64_read(text, ret, SCRAM_KEY, &len);
    if (e != E_OK || len != SCRAM_KEY) { return E_SYNTAX; }
    return E_OK;
}

enum err scram_secret_read(const char *text, struct scram_secret *ret)
{
    struct scram_secret s = {0};
    struct bytes left = bytes_str(text), mechanism, iterations, salt, stored;
    if (!take_until(&left, '$', &mechanism) || !take_until(&left, ':', &iterations) ||
        !take_until(&left, '$', &salt) || !take_until(&left, ':', &stored) ||
        !bytes_equal(mechanism, BYTES(SCRAM_MECHANISM))) {
        return E_SYNTAX;
    }
    enum err e = scram_iterations(iterations, &s.iterations) ? E_OK : E_SYNTAX;
    if (e == E_OK) { e = base64_read(salt, s.salt, sizeof s.salt, &s.salt_len); }
    if (e == E_OK && s.salt_len == 0) { e = E_SYNTAX; }
    if (e == E_OK) { e = read_key(stored, s.stored_key); }
    if (e == E_OK) { e = read_key(left, s.server_key); }
    if (e == E_OK) { *ret = s; }
    mem_wipe(&s, sizeof s);
    return e;
}

/* The keys that go with the salt and the iterations already in s. */
static void fill_keys(struct scram_secret *s, struct bytes password)
{
    uint8_t client_key[SCRAM_KEY];
    scram_keys(password, salt_of(s), s->iterations, client_key, s->server_key);
    scram_stored_key(client_key, s->stored_key);
    mem_wipe(client_key, sizeof client_key);
}

enum err scram_secret_make(const char *password, uint32_t iterations, struct scram_secret *ret)
{
    if (iterations == 0 || iterations > SCRAM_ITERATIONS_MOST) { return E_LIMIT; }
    *ret = (struct scram_secret){.iterations = iterations, .salt_len = SALT_LEN};
    random_fill(ret->salt, SALT_LEN);
    fill_keys(ret, bytes_str(password));
    return E_OK;
}

void scram_secret_promise(const char *user, const char *password, uint32_t iterations,
                          struct scram_secret *ret)
{
    uint8_t salt[KEYRING_ID];
    const struct bytes parts[] = {bytes_str(user), bytes_str(password)};
    keyring_id("salt", parts, 2, salt);
    *ret = (struct scram_secret){.iterations = iterations, .salt_len = SALT_LEN};
    memcpy(ret->salt, salt, SALT_LEN);
}

void scram_secret_keep(struct scram_secret *promised, const char *password)
{
    fill_keys(promised, bytes_str(password));
}

void scram_secret_mock(const char *user, uint32_t iterations, struct scram_secret *ret)
{
    uint8_t salt[KEYRING_ID];
    const struct bytes name = bytes_str(user);
    keyring_id("mock salt", &name, 1, salt);
    *ret = (struct scram_secret){.iterations = iterations, .salt_len = SALT_LEN};
    memcpy(ret->salt, salt, SALT_LEN);
    keyring_id("mock stored key", &name, 1, ret->stored_key);
    keyring_id("mock server key", &name, 1, ret->server_key);
}

bool scram_secret_fits(const struct scram_secret *s, struct bytes password,
                       uint8_t ret_client_key[SCRAM_KEY])
{
    uint8_t client_key[SCRAM_KEY], stored_key[SCRAM_KEY];
    /* A role may choose its own secret: it shall not choose how long this thread is busy. */
    if (s->iterations > SCRAM_ITERATIONS_MOST) { return false; }
    /* Here a stranger's guesses are hashed, which the keyring shall not fill up with: not
     * scram_keys. */
    uint8_t salted[CRYPTO_SHA256];
    salt_password(password, salt_of(s), s->iterations, salted);
    crypto_hmac(bytes_of(salted, sizeof salted), BYTES("Client Key"), client_key);
    scram_stored_key(client_key, stored_key);
    bool fits = crypto_same(bytes_of(stored_key, SCRAM_KEY), bytes_of(s->stored_key, SCRAM_KEY));
    if (fits && ret_client_key != NULL) { memcpy(ret_client_key, client_key, SCRAM_KEY); }
    mem_wipe(salted, sizeof salted);
    mem_wipe(client_key, sizeof client_key);
    return fits;
}
