/*
 * The first byte chooses who reads: our server (a client's messages, split at zeros), with a
 * channel to be bound to (p: the client chose to), our client (a server's), the secret reader, or
 * base64, whose decoded values must encode to the same text.
 */
#include <assert.h>
#include <stdlib.h>

#include "auth/base64.h"
#include "auth/scram_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes the bytes up to a zero from the front. */
static struct bytes take_message(struct bytes *left)
{
    const uint8_t *zero = left->len == 0 ? NULL : memchr(left->ptr, 0, left->len);
    size_t len = zero == NULL ? left->len : (size_t)(zero - left->ptr);
    struct bytes message = bytes_of(left->ptr, len);
    *left = bytes_skip(*left, zero == NULL ? len : len + 1);
    return message;
}

static void as_server(struct bytes in, bool plus)
{
    struct scram_server s = {.plus = plus};
    if (plus) { s.channel = (struct scram_channel){.data = "channel", .len = 7}; }
    struct buf out = {0};
    struct fault why;
    scram_secret_mock("ann", SCRAM_ITERATIONS, &s.secret);
    struct bytes first = take_message(&in);
    if (scram_server_first_with(&s, first, "ours", &out, &why) == E_OK) {
        assert(strlen(s.nonce) > 4 && buf_len(&out) > 0);
        buf_clear(&out);
        /* Nobody knows a key that fits this secret. */
        enum err e = scram_server_final(&s, take_message(&in), &out, &why);
        assert(e == E_PROTOCOL || e == E_AUTH);
    }
    scram_server_done(&s);
    buf_done(&out);
}

static void as_client(struct bytes in)
{
    static const uint8_t key[SCRAM_KEY] = {1};
    struct scram_client c = {.client_key = key, .server_key = key};
    struct buf out = {0};
    struct fault why;
    scram_client_first_with(&c, "", "abc", &out);
    buf_clear(&out);
    if (scram_client_final(&c, take_message(&in), &out, &why) == E_OK) {
        assert(buf_len(&out) > 0);
        enum err e = scram_client_verify(&c, take_message(&in), &why);
        assert(e == E_OK || e == E_AUTH);
    }
    scram_client_done(&c);
    buf_done(&out);
}

static void as_secret(struct bytes in)
{
    struct buf text = {0};
    struct scram_secret s;
    buf_put_bytes(&text, in);
    if (scram_secret_read(buf_text(&text), &s) == E_OK) {
        assert(s.iterations >= 1 && s.salt_len >= 1 && s.salt_len <= SCRAM_SALT_MAX);
    }
    buf_done(&text);
}

static void as_base64(struct bytes in)
{
    uint8_t raw[256];
    size_t len = 0;
    struct buf text = {0};
    if (base64_read(in, raw, sizeof raw, &len) == E_OK) {
        base64_put(&text, bytes_of(raw, len));
        assert(bytes_equal(buf_view(&text), in));
    }
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) { return 0; }
    struct bytes in = bytes_of(data + 1, size - 1);
    switch (data[0]) {
    case 's': as_server(in, false); break;
    case 'p': as_server(in, true); break;
    case 'c': as_client(in); break;
    case 'k': as_secret(in); break;
    default: as_base64(in); break;
    }
    return 0;
}
