/* Reading and judging ranges; the machine's own are those of its network interfaces. */
#include "auth/range.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

static const char expected[] =
    "expected all, samehost, samenet, or an address like 10.0.0.0/8 or fd00::/8";
static const char is_a_name[] =
    "host names are not supported here, " /* a login would wait for two look-ups, and trust them */
    "expected all, samehost, samenet, or an address like 10.0.0.0/8 or fd00::/8";

/* ---- reading */

int range_read_ip(const char *text, uint8_t ret[16])
{
    uint8_t ip[16] = {0};
    int family = AF_INET;
    if (inet_pton(AF_INET, text, ip) != 1) { family = AF_INET6; }
    if (family == AF_INET6 && inet_pton(AF_INET6, text, ip) != 1) { return AF_UNSPEC; }
    memcpy(ret, ip, sizeof ip);
    return family;
}

static bool is_host_name(const char *word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return word[strspn(word,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] ==
               '\0' &&
           strpbrk(word, letters) != NULL;
}

static bool read_bits(const char *text, unsigned most, unsigned *ret)
{
    unsigned bits = 0;
    if (text[0] == '\0' || strlen(text) > 3) { return false; }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') { return false; }
        bits = bits * 10 + (unsigned)(*text - '0');
    }
    *ret = bits;
    return bits <= most;
}

const char *range_read(const char *word, bool quoted, struct range *ret, bool *ret_needs_mask)
{
    static const struct {
        const char *word;
        enum range_kind kind;
    } keywords[] = {{"all", RANGE_ALL}, {"samehost", RANGE_SAMEHOST}, {"samenet", RANGE_SAMENET}};
    *ret = (struct range){0};
    *ret_needs_mask = false;
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0] && !quoted; i++) {
        if (strcmp(word, keywords[i].word) == 0) {
            ret->kind = keywords[i].kind;
            return NULL;
        }
    }
    char number[INET6_ADDRSTRLEN + 1] = {0};
    size_t len = strcspn(word, "/");
    if (len < sizeof number) { memcpy(number, word, len); }
    ret->kind = RANGE_NET;
    ret->family = range_read_ip(number, ret->address);
    if (ret->family == AF_UNSPEC) { return is_host_name(word) ? is_a_name : expected; }
    *ret_needs_mask = word[len] == '\0';
    if (*ret_needs_mask) { return NULL; }
    unsigned bits = 0;
    if (!read_bits(word + len + 1, ret->family == AF_INET ? 32 : 128, &bits)) {
        return "expected 0 to 32 bits behind the /, or 128 for IPv6";
    }
    for (unsigned i = 0; i < bits; i++) { ret->mask[i / 8] |= (uint8_t)(0x80 >> i % 8); }
    return NULL;
}

const char *range_read_mask(const char *word, struct range *r)
{
    return range_read_ip(word, r->mask) == r->family ? NULL : "expected a mask like 255.255.255.0";
}

/* ---- finding */

static const uint8_t *ip_of(const struct sockaddr *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    return address->sa_family == AF_INET ? (const uint8_t *)&in->sin_addr
                                         : (const uint8_t *)&in6->sin6_addr;
}

/* mask NULL: all of it. */
static bool is_within(int family, const uint8_t *ip, const uint8_t *net, const uint8_t *mask)
{
    size_t len = family == AF_INET ? 4 : 16;
    for (size_t i = 0; i < len; i++) {
        if (((ip[i] ^ net[i]) & (mask == NULL ? 0xff : mask[i])) != 0) { return false; }
    }
    return true;
}

static enum range_fit is_own(bool nets, const struct sockaddr *address)
{
    struct ifaddrs *all = NULL;
    enum range_fit fit = RANGE_OUTSIDE;
    if (getifaddrs(&all) != 0) { return RANGE_UNKNOWN; }
    for (const struct ifaddrs *i = all; i != NULL && fit == RANGE_OUTSIDE; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != address->sa_family ||
            (nets && i->ifa_netmask == NULL)) {
            continue;
        }
        if (is_within(address->sa_family, ip_of(address), ip_of(i->ifa_addr),
                      nets ? ip_of(i->ifa_netmask) : NULL)) {
            fit = RANGE_INSIDE;
        }
    }
    freeifaddrs(all);
    return fit;
}

enum range_fit range_fits(const struct range *r, const struct sockaddr *address)
{
    switch (r->kind) {
    case RANGE_ALL: return RANGE_INSIDE;
    case RANGE_SAMEHOST: return is_own(false, address);
    case RANGE_SAMENET: return is_own(true, address);
    case RANGE_NET: break;
    }
    return r->family == address->sa_family &&
                   is_within(r->family, ip_of(address), r->address, r->mask)
               ? RANGE_INSIDE
               : RANGE_OUTSIDE;
}
