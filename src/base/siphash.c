/* SipHash after Aumasson and Bernstein, "SipHash: a fast short-input PRF". */
#include "base/siphash.h"

#include "base/random.h"

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND(a, b, c, d)                                                                      \
    do {                                                                                           \
        (a) += (b);                                                                                \
        (b) = rotl((b), 13) ^ (a);                                                                 \
        (a) = rotl((a), 32);                                                                       \
        (c) += (d);                                                                                \
        (d) = rotl((d), 16) ^ (c);                                                                 \
        (a) += (d);                                                                                \
        (d) = rotl((d), 21) ^ (a);                                                                 \
        (c) += (b);                                                                                \
        (b) = rotl((b), 17) ^ (c);                                                                 \
        (c) = rotl((c), 32);                                                                       \
    } while (0)

/* c rounds for each eight bytes, d at the end. */
static inline uint64_t sip(struct sipkey key, struct bytes in, int c, int d)
{
    uint64_t v0 = key.k0 ^ 0x736f6d6570736575ULL, v1 = key.k1 ^ 0x646f72616e646f6dULL;
    uint64_t v2 = key.k0 ^ 0x6c7967656e657261ULL, v3 = key.k1 ^ 0x7465646279746573ULL;
    const uint8_t *p = in.ptr;
    size_t left = in.len;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m;
        memcpy(&m, p, 8); /* little-endian hosts only: the value never leaves the process */
        v3 ^= m;
        for (int i = 0; i < c; i++) { SIP_ROUND(v0, v1, v2, v3); }
        v0 ^= m;
    }
    uint64_t tail = 0;
    if (left > 0) { memcpy(&tail, p, left); }
    tail |= (uint64_t)in.len << 56;
    v3 ^= tail;
    for (int i = 0; i < c; i++) { SIP_ROUND(v0, v1, v2, v3); }
    v0 ^= tail;
    v2 ^= 0xff;
    for (int i = 0; i < d; i++) { SIP_ROUND(v0, v1, v2, v3); }
    return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t siphash(struct sipkey key, struct bytes in)
{
    return sip(key, in, 2, 4);
}

uint64_t siphash_fast(struct sipkey key, struct bytes in)
{
    return sip(key, in, 1, 3);
}

static struct sipkey process_key;

/* Before main(): every table of the process uses it. */
__attribute__((constructor)) static void make_key(void)
{
    random_fill(&process_key, sizeof process_key);
}

struct sipkey siphash_process_key(void)
{
    return process_key;
}
