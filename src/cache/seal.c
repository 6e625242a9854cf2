/*
 * Sealing by OpenSSL's EVP. Each K has its own encryption key, derived from the secret and K, so a
 * random 96-bit nonce has to be unique among the fills of one K only. K is part of the
 * authenticated data as well: a value moved to another key fails.
 */
#include "cache/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/random.h"

#define SEAL_VERSION 1
#define SECRET_MIN   32
#define SECRET_MAX   4096

struct seal {
    uint8_t name_key[32], box_key[32];
    uint8_t key_id[SEAL_KEY_ID];
    char tag[2 * SEAL_KEY_ID + 1];
    EVP_CIPHER *cipher;
};

static void hmac(const uint8_t key[32], struct bytes in, uint8_t ret[32])
{
    unsigned len = 32;
    if (HMAC(EVP_sha256(), key, 32, in.ptr, in.len, ret, &len) == NULL) { abort(); }
    assert(len == 32);
}

static enum err read_secret(const char *path, uint8_t *secret, size_t *ret_len, struct fault *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fault_set(why, E_IO, "cache_secret_file \"%s\": %s", path, strerror(errno));
    }
    struct stat st;
    enum err e = E_OK;
    if (fstat(fd, &st) != 0) {
        e = fault_set(why, E_IO, "cache_secret_file \"%s\": %s", path, strerror(errno));
        goto out;
    }
    /* root may give it to our group, as PostgreSQL allows for its key file */
    mode_t others =
        st.st_uid == 0 && geteuid() != 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if (!S_ISREG(st.st_mode) || (st.st_mode & others) != 0) {
        e = fault_set(why, E_CONFIG,
                      "cache_secret_file \"%s\" must be a file that only its owner may read", path);
        fault_hint(why, "chmod 600 %s", path);
        goto out;
    }
    size_t len = 0;
    for (ssize_t got; len < SECRET_MAX && (got = read(fd, secret + len, SECRET_MAX - len)) != 0;) {
        if (got < 0 && errno == EINTR) { continue; }
        if (got < 0) {
            e = fault_set(why, E_IO, "cache_secret_file \"%s\": %s", path, strerror(errno));
            goto out;
        }
        len += (size_t)got;
    }
    if (len < SECRET_MIN) {
        e = fault_set(why, E_CONFIG, "cache_secret_file \"%s\" has %zu bytes, at least %d expected",
                      path, len, SECRET_MIN);
        goto out;
    }
    *ret_len = len;
out:
    (void)close(fd);
    return e;
}

static void derive(struct seal *s, const uint8_t *secret, size_t len)
{
    uint8_t root[32], id[32];
    unsigned root_len = 0;
    if (HMAC(EVP_sha256(), "pgusher cache", 13, secret, len, root, &root_len) == NULL) { abort(); }
    hmac(root, BYTES("names"), s->name_key);
    hmac(root, BYTES("boxes"), s->box_key);
    hmac(root, BYTES("id"), id);
    memcpy(s->key_id, id, sizeof s->key_id);
    for (size_t i = 0; i < sizeof s->key_id; i++) {
        static const char digits[] = "0123456789abcdef";
        s->tag[2 * i] = digits[id[i] >> 4];
        s->tag[2 * i + 1] = digits[id[i] & 15];
    }
    mem_wipe(root, sizeof root);
}

enum err seal_open(const char *path, struct seal **ret, struct fault *why)
{
    uint8_t secret[SECRET_MAX];
    size_t len = SECRET_MIN;
    if (path != NULL && path[0] != '\0') {
        enum err e = read_secret(path, secret, &len, why);
        if (e != E_OK) {
            mem_wipe(secret, sizeof secret);
            return e;
        }
    } else {
        random_fill(secret, len);
    }
    struct seal *s = mem_new(struct seal);
    derive(s, secret, len);
    mem_wipe(secret, sizeof secret);
    s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (s->cipher == NULL) {
        seal_free(&s);
        return fault_set(why, E_IO, "the OpenSSL library has no AES-256-GCM");
    }
    *ret = s;
    return E_OK;
}

void seal_free(struct seal **s)
{
    if (*s == NULL) { return; }
    EVP_CIPHER_free((*s)->cipher);
    mem_wipe(*s, sizeof **s);
    mem_free(s);
}

const char *seal_tag(const struct seal *s)
{
    return s->tag;
}

void seal_mac(const struct seal *s, uint64_t rules, struct bytes key, uint8_t ret[MAC_BYTES])
{
    /* the key under the name key of these rules: no copy of a key that may be long */
    uint8_t prefix[8], rules_key[32];
    put_u32(prefix, (uint32_t)(rules >> 32));
    put_u32(prefix + 4, (uint32_t)rules);
    hmac(s->name_key, bytes_of(prefix, sizeof prefix), rules_key);
    hmac(rules_key, key, ret);
    mem_wipe(rules_key, sizeof rules_key);
}

/* A context keyed for K, its header authenticated; NULL on failure. */
static EVP_CIPHER_CTX *start(const struct seal *s, const uint8_t mac[MAC_BYTES],
                             const uint8_t *header, bool closing)
{
    uint8_t key[32];
    int len = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    hmac(s->box_key, bytes_of(mac, MAC_BYTES), key);
    bool good =
        ctx != NULL &&
        EVP_CipherInit_ex2(ctx, s->cipher, key, header + 1 + SEAL_KEY_ID, closing, NULL) == 1 &&
        EVP_CipherUpdate(ctx, NULL, &len, header, 1 + SEAL_KEY_ID) == 1 &&
        EVP_CipherUpdate(ctx, NULL, &len, mac, MAC_BYTES) == 1;
    mem_wipe(key, sizeof key);
    if (!good) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool update(EVP_CIPHER_CTX *ctx, uint8_t **out, struct bytes in)
{
    int len = 0;
    if (in.len == 0) { return true; }
    if (EVP_CipherUpdate(ctx, *out, &len, in.ptr, (int)in.len) != 1) { return false; }
    *out += len;
    return true;
}

enum err seal_close_over(const struct seal *s, const uint8_t mac[MAC_BYTES], struct bytes head,
                         struct bytes body, uint8_t *out)
{
    assert(head.len + body.len < INT32_MAX);
    out[0] = SEAL_VERSION;
    memcpy(out + 1, s->key_id, SEAL_KEY_ID);
    random_fill(out + 1 + SEAL_KEY_ID, SEAL_NONCE);
    EVP_CIPHER_CTX *ctx = start(s, mac, out, true);
    uint8_t *at = out + SEAL_HEADER;
    int len = 0;
    bool good = ctx != NULL && update(ctx, &at, head) && update(ctx, &at, body) &&
                EVP_CipherFinal_ex(ctx, at, &len) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, SEAL_TAG, at) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good ? E_OK : E_IO;
}

enum err seal_break(const struct seal *s, const uint8_t mac[MAC_BYTES], struct bytes in,
                    uint8_t *out, size_t *ret_len)
{
    if (in.len < SEAL_OVERHEAD || in.len >= INT32_MAX || in.ptr[0] != SEAL_VERSION ||
        memcmp(in.ptr + 1, s->key_id, SEAL_KEY_ID) != 0) {
        return E_PROTOCOL;
    }
    struct bytes body = bytes_of(in.ptr + SEAL_HEADER, in.len - SEAL_OVERHEAD);
    uint8_t tag[SEAL_TAG];
    memcpy(tag, in.ptr + in.len - SEAL_TAG, SEAL_TAG);
    EVP_CIPHER_CTX *ctx = start(s, mac, in.ptr, false);
    uint8_t *at = out;
    int len = 0;
    bool good = ctx != NULL && update(ctx, &at, body) &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, SEAL_TAG, tag) == 1 &&
                EVP_CipherFinal_ex(ctx, at, &len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!good) { return E_PROTOCOL; }
    *ret_len = body.len;
    return E_OK;
}
