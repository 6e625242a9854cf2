/* Base64, strict: a value has one spelling only. */
#include "auth/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct buf *out, struct bytes in)
{
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t group = (uint32_t)in.ptr[i] << 16;
        if (have > 1) { group |= (uint32_t)in.ptr[i + 1] << 8; }
        if (have > 2) { group |= in.ptr[i + 2]; }
        buf_put_u8(out, (uint8_t)alphabet[group >> 18]);
        buf_put_u8(out, (uint8_t)alphabet[group >> 12 & 63]);
        buf_put_u8(out, have > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=');
        buf_put_u8(out, have > 2 ? (uint8_t)alphabet[group & 63] : '=');
    }
}

/* -1 for a byte outside the alphabet. */
static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') { return c - 'A'; }
    if (c >= 'a' && c <= 'z') { return c - 'a' + 26; }
    if (c >= '0' && c <= '9') { return c - '0' + 52; }
    if (c == '+') { return 62; }
    return c == '/' ? 63 : -1;
}

enum err base64_read(struct bytes text, uint8_t *ret, size_t room, size_t *ret_len)
{
    if (text.len % 4 != 0) { return E_SYNTAX; }
    size_t pad = 0;
    while (pad < 2 && pad < text.len && text.ptr[text.len - 1 - pad] == '=') { pad++; }
    size_t len = text.len / 4 * 3 - pad;
    if (len > room) { return E_LIMIT; }

    size_t done = 0;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t digits = i + 4 == text.len ? 4 - pad : 4;
        uint32_t group = 0;
        for (size_t j = 0; j < 4; j++) {
            int digit = j < digits ? digit_of(text.ptr[i + j]) : 0;
            if (digit < 0) { return E_SYNTAX; }
            group = group << 6 | (uint32_t)digit;
        }
        /* The bits that the padding cuts off must be zero. */
        if ((digits == 3 && (group & 0xff) != 0) || (digits == 2 && (group & 0xffff) != 0)) {
            return E_SYNTAX;
        }
        for (size_t j = 0; j + 1 < digits; j++) { ret[done++] = (uint8_t)(group >> (16 - 8 * j)); }
    }
    *ret_len = done;
    return E_OK;
}
