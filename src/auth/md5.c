/* secret = "md5" hex(md5(password user)); answer = "md5" hex(md5(hex-of-secret salt)). */
#include "auth/md5.h"

#include <stdio.h>

#include "auth/crypto.h"
#include "base/mem.h"

bool md5_is_secret(const char *text)
{
    return strncmp(text, "md5", 3) == 0 && strlen(text) == MD5_SECRET &&
           strspn(text + 3, "0123456789abcdef") == MD5_SECRET - 3;
}

static enum err hash_pair(struct bytes first, struct bytes second, char ret[MD5_SECRET + 1],
                          struct fault *why)
{
    struct buf both = {0};
    (void)buf_reserve(&both, first.len + second.len);
    buf_put_bytes(&both, first);
    buf_put_bytes(&both, second);
    char hex[CRYPTO_MD5_HEX + 1];
    enum err e = crypto_md5_hex(buf_view(&both), hex);
    crypto_wipe_buf(&both);
    if (e != E_OK) { return fault_set(why, e, "MD5 is not available in this OpenSSL"); }
    (void)snprintf(ret, MD5_SECRET + 1, "md5%s", hex);
    mem_wipe(hex, sizeof hex);
    return E_OK;
}

enum err md5_secret(const char *user, struct bytes password, char ret[MD5_SECRET + 1],
                    struct fault *why)
{
    return hash_pair(password, bytes_str(user), ret, why);
}

enum err md5_answer(const char secret[MD5_SECRET + 1], const uint8_t salt[MD5_SALT],
                    char ret[MD5_SECRET + 1], struct fault *why)
{
    return hash_pair(bytes_of(secret + 3, MD5_SECRET - 3), bytes_of(salt, MD5_SALT), ret, why);
}
