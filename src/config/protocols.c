/* PgBouncer's words for TLS versions. */
#include "config/protocols.h"

#include <string.h>
#include <strings.h>

enum { V10 = 1, V11 = 2, V12 = 4, V13 = 8, V_SECURE = V12 | V13, V_ALL = 15 };

static unsigned bits_of(const char *word, size_t len)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {{"tlsv1.0", V10},  {"tlsv1.1", V11},     {"tlsv1.2", V12},
                 {"tlsv1.3", V13},  {"tlsv1", V_ALL},     {"all", V_ALL},
                 {"legacy", V_ALL}, {"secure", V_SECURE}, {"default", V_SECURE}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == len && strncasecmp(names[i].name, word, len) == 0) {
            return names[i].bits;
        }
    }
    return 0;
}

enum err protocols_read(const char *words, struct protocols *ret, const char **ret_reason)
{
    static const char separators[] = ",: \t";
    unsigned bits = 0;
    for (const char *p = words + strspn(words, separators); *p != '\0';) {
        bool without = *p == '!';
        p += without;
        size_t len = strcspn(p, separators);
        unsigned word = bits_of(p, len);
        if (word == 0) {
            *ret_reason = "expected secure, all, or a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3";
            return E_CONFIG;
        }
        if (without && bits == 0) { bits = V_ALL; }
        bits = without ? bits & ~word : bits | word;
        p += len;
        p += strspn(p, separators);
    }
    if (bits == 0) {
        *ret_reason = "no protocol is left";
        return E_CONFIG;
    }
    for (unsigned n = 0; n < 4; n++) { ret->tls1[n] = (bits >> n & 1) != 0; }
    return E_OK;
}
