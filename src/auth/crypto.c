/* OpenSSL behind the primitives. */
#include "auth/crypto.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"

/* No memory. */
static void must(bool done, const char *what)
{
    if (done) { return; }
    (void)fprintf(stderr, "pgusher: %s failed in OpenSSL\n", what);
    abort();
}

void crypto_sha256(struct bytes in, uint8_t ret[CRYPTO_SHA256])
{
    must(EVP_Digest(in.ptr, in.len, ret, NULL, EVP_sha256(), NULL) == 1, "SHA-256");
}

void crypto_hmac(struct bytes key, struct bytes in, uint8_t ret[CRYPTO_SHA256])
{
    assert(key.len <= INT_MAX);
    /* A key of NULL would mean "the key of before" to OpenSSL. */
    const void *key_ptr = key.len == 0 ? (const void *)"" : key.ptr;
    unsigned len = 0;
    must(HMAC(EVP_sha256(), key_ptr, (int)key.len, in.ptr, in.len, ret, &len) != NULL, "HMAC");
    assert(len == CRYPTO_SHA256);
}

void crypto_pbkdf2(struct bytes password, struct bytes salt, uint32_t iterations,
                   uint8_t ret[CRYPTO_SHA256])
{
    assert(password.len <= INT_MAX && salt.len <= INT_MAX && iterations <= INT_MAX);
    must(PKCS5_PBKDF2_HMAC((const char *)password.ptr, (int)password.len, salt.ptr, (int)salt.len,
                           (int)iterations, EVP_sha256(), CRYPTO_SHA256, ret) == 1,
         "PBKDF2");
}

enum err crypto_md5_hex(struct bytes in, char ret[CRYPTO_MD5_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(in.ptr, in.len, digest, NULL, EVP_md5(), NULL) != 1) { return E_REFUSED; }
    for (unsigned i = 0; i < CRYPTO_MD5_HEX / 2; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 15];
    }
    ret[CRYPTO_MD5_HEX] = '\0';
    return E_OK;
}

bool crypto_same(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

void crypto_wipe_buf(struct buf *b)
{
    if (b->data != NULL) { mem_wipe(b->data, b->cap); }
    buf_done(b);
}
