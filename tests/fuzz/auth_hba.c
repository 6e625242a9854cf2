/*
 * Reads the bytes as an auth_hba_file, what stands behind a line "%ident" as its auth_ident_file,
 * and what stands behind "%ldap" as auth_ldap_options; then asks the rules about a few clients.
 */
#include <assert.h>
#include <netinet/in.h>

#include "auth/hba.h"
#include "base/buf.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts the text at a mark and returns what is behind it. */
static struct bytes cut(struct bytes *text, struct bytes mark)
{
    const uint8_t *at = text->len == 0 ? NULL : memmem(text->ptr, text->len, mark.ptr, mark.len);
    if (at == NULL) { return (struct bytes){0}; }
    size_t before = (size_t)(at - text->ptr);
    struct bytes behind = bytes_skip(*text, before + mark.len);
    text->len = before;
    return behind;
}

static void read_ldap(struct bytes text)
{
    struct arena memory = {0};
    struct ldapopt o;
    struct fault why = {0};
    char *line = mem_strndup((const char *)text.ptr, text.len);
    enum err e = ldapopt_parse(line, &memory, &o, &why);
    assert(e == E_OK || e == E_CONFIG);
    if (e == E_OK) {
        char *url = ldapopt_url(&o), *dn = ldapopt_user_dn(&o, "a,b"),
             *filter = ldapopt_user_filter(&o, "a*b");
        mem_free(&url);
        mem_free(&dn);
        mem_free(&filter);
    }
    mem_free(&line);
    arena_done(&memory);
}

static void ask(const struct hba *h)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a010203)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    const struct hba_who asking[] = {
        {.database = "app", .user = "ann"},
        {.database = "app", .user = "ann", .address = (const struct sockaddr *)&in},
        {.database = "ann", .user = "ann", .address = (const struct sockaddr *)&in6, .tls = true},
        {.database = "", .user = "ann", .replication = true},
    };
    for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++) {
        const struct hba_rule *r = hba_find(h, &asking[i]);
        if (r == NULL) { continue; }
        assert(r->line > 0);
        assert((r->method == HBA_LDAP) == (r->ldap != NULL));
        if (r->method == HBA_PEER) {
            assert(i == 0 || i == 3);
            (void)ident_allows(hba_ident(h), r->map, "ann@example.com", "ann");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of(data, size);
    struct fault why = {0};
    struct ident *ident = NULL;
    struct hba *h = NULL;
    struct bytes ldap = cut(&text, BYTES("%ldap\n"));
    struct bytes maps = cut(&text, BYTES("%ident\n"));
    if (ldap.len > 0) { read_ldap(ldap); }
    enum err e = ident_parse(maps, "ident", &ident, &why);
    assert(e == E_OK || (e == E_CONFIG && ident == NULL && strncmp(why.text, "ident:", 6) == 0));
    e = hba_parse(text, "hba", ident, &h, &why);
    assert(e == E_OK || (e == E_CONFIG && h == NULL && strncmp(why.text, "hba:", 4) == 0));
    if (e == E_OK) { ask(h); }
    hba_unref(&h);
    return 0;
}
