/* Names to fields, URLs taken apart, and user names made harmless inside DNs and filters. */
#include "auth/ldapopt.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

void ldapopt_init(struct ldapopt *o)
{
    *o = (struct ldapopt){.scheme = "ldap", .prefix = "", .suffix = "", .scope = LDAPOPT_SUB};
}

/* ---- values */

static enum err read_port(const char *text, int *ret, struct fault *why)
{
    int port = 0;
    for (const char *p = text; *p != '\0'; p++) {
        port = *p >= '0' && *p <= '9' && port < 65536 ? port * 10 + (*p - '0') : 65536;
    }
    if (port < 1 || port > 65535) {
        return fault_set(why, E_CONFIG, "%.40s: expected a port from 1 to 65535", text);
    }
    *ret = port;
    return E_OK;
}

static enum err read_scheme(struct arena *memory, const char *text, size_t len, const char **ret,
                            struct fault *why)
{
    char *scheme = arena_strndup(memory, text, len);
    if (strcmp(scheme, "ldap") != 0 && strcmp(scheme, "ldaps") != 0) {
        return fault_set(why, E_CONFIG, "%.40s: expected ldap or ldaps", scheme);
    }
    *ret = scheme;
    return E_OK;
}

/* ---- ldapurl: scheme://host[:port]/basedn[?[attribute][?[scope][?[filter]]]], RFC 4516 */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Undoes percent-encoding of the text, which ends with a zero. NULL when it is malformed. */
static char *unescape(struct arena *memory, const char *text)
{
    char *out = arena_alloc(memory, strlen(text) + 1), *to = out;
    for (; *text != '\0'; text++) {
        if (*text != '%') {
            *to++ = *text;
            continue;
        }
        int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
        if (low < 0 || high + low == 0) { return NULL; }
        *to++ = (char)(high * 16 + low);
        text += 2;
    }
    return out;
}

static enum err take_host(struct ldapopt *o, char *host, struct fault *why)
{
    char *port = NULL;
    if (host[0] == '[') { /* an IPv6 address */
        char *close = strchr(host, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':')) {
            return fault_set(why, E_CONFIG, "%.40s: expected [address]:port", host);
        }
        port = close[1] == ':' ? close + 2 : NULL;
        close[1] = '\0';
    } else if ((port = strchr(host, ':')) != NULL) {
        *port++ = '\0';
    }
    if (port != NULL) {
        enum err e = read_port(port, &o->port, why);
        if (e != E_OK) { return e; }
    }
    o->server = host[0] == '\0' ? NULL : host;
    return E_OK;
}

static bool read_scope(const char *text, enum ldapopt_scope *ret)
{
    static const char *const scopes[] = {"base", "one", "sub"};
    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(text, scopes[i]) == 0) {
            *ret = (enum ldapopt_scope)i;
            return true;
        }
    }
    return false;
}

static enum err read_url(struct ldapopt *o, struct arena *memory, const char *text,
                         struct fault *why)
{
    const char *host = strstr(text, "://");
    if (host == NULL) { return fault_set(why, E_CONFIG, "%.60s: expected ldap://...", text); }
    enum err e = read_scheme(memory, text, (size_t)(host - text), &o->scheme, why);
    if (e != E_OK) { return e; }
    host += 3;
    const char *slash = strchrnul(host, '/');
    e = take_host(o, arena_strndup(memory, host, (size_t)(slash - host)), why);
    if (e != E_OK || *slash == '\0') { return e; }

    char *rest = arena_strdup(memory, slash + 1), *part[5] = {NULL};
    for (size_t i = 0; i < 5 && rest != NULL; i++) { part[i] = strsep(&rest, "?"); }
    if (part[4] != NULL && part[4][0] != '\0') {
        return fault_set(why, E_CONFIG, "%.60s: extensions are not supported in ldapurl", text);
    }
    for (size_t i = 0; i < 4; i++) {
        if (part[i] == NULL || part[i][0] == '\0') {
            part[i] = NULL;
            continue;
        }
        part[i] = unescape(memory, part[i]);
        if (part[i] == NULL) {
            return fault_set(why, E_CONFIG, "%.60s: malformed %% in ldapurl", text);
        }
    }
    o->scope = LDAPOPT_BASE; /* the RFC's default */
    o->base_dn = part[0] == NULL ? "" : part[0];
    o->search_attribute = part[1];
    if (part[1] != NULL && strchr(part[1], ',') != NULL) {
        return fault_set(why, E_CONFIG, "%.60s: expected one attribute in ldapurl", text);
    }
    if (part[2] != NULL && !read_scope(part[2], &o->scope)) {
        return fault_set(why, E_CONFIG, "%.40s: expected scope base, one or sub", part[2]);
    }
    o->search_filter = part[3];
    return E_OK;
}

/* ---- options */

enum err ldapopt_set(struct ldapopt *o, struct arena *memory, const char *name, const char *value,
                     struct fault *why)
{
    const struct {
        const char *name, **at;
    } texts[] = {
        {"ldapserver", &o->server},
        {"ldapprefix", &o->prefix},
        {"ldapsuffix", &o->suffix},
        {"ldapbasedn", &o->base_dn},
        {"ldapbinddn", &o->bind_dn},
        {"ldapbindpasswd", &o->bind_password},
        {"ldapsearchattribute", &o->search_attribute},
        {"ldapsearchfilter", &o->search_filter},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].name, name) == 0) {
            *texts[i].at = arena_strdup(memory, value);
            return E_OK;
        }
    }
    if (strcmp(name, "ldapport") == 0) { return read_port(value, &o->port, why); }
    if (strcmp(name, "ldapurl") == 0) { return read_url(o, memory, value, why); }
    if (strcmp(name, "ldapscheme") == 0) {
        return read_scheme(memory, value, strlen(value), &o->scheme, why);
    }
    if (strcmp(name, "ldaptls") == 0) {
        o->start_tls = strcmp(value, "1") == 0;
        if (o->start_tls || strcmp(value, "0") == 0) { return E_OK; }
        return fault_set(why, E_CONFIG, "%.40s: expected ldaptls 0 or 1", value);
    }
    return E_NOTFOUND;
}

enum err ldapopt_check(const struct ldapopt *o, struct fault *why)
{
    bool simple = o->prefix[0] != '\0' || o->suffix[0] != '\0';
    bool search = o->base_dn != NULL;
    bool details = o->bind_dn != NULL || o->bind_password != NULL || o->search_attribute != NULL ||
                   o->search_filter != NULL;
    if (simple && (search || details)) {
        return fault_set(why, E_CONFIG,
                         "ldapprefix and ldapsuffix cannot be used together with ldapbasedn, "
                         "ldapbinddn, ldapbindpasswd, ldapsearchattribute, ldapsearchfilter or "
                         "ldapurl");
    }
    if (!simple && !search) {
        return fault_set(why, E_CONFIG,
                         "ldap needs ldapbasedn, ldapprefix, ldapsuffix or an ldapurl with a base");
    }
    if (o->search_attribute != NULL && o->search_filter != NULL) {
        return fault_set(why, E_CONFIG,
                         "ldapsearchattribute and ldapsearchfilter are one too many");
    }
    if (o->start_tls && strcmp(o->scheme, "ldaps") == 0) {
        return fault_set(why, E_CONFIG, "ldaptls=1 cannot be used together with ldaps");
    }
    return E_OK;
}

/* The next name=value, which *at moves behind; value may stand in quotes, "" being one. */
static enum err take_pair(const char **at, struct arena *memory, const char **ret_name,
                          const char **ret_value, struct fault *why)
{
    const char *p = *at + strspn(*at, " \t");
    if (*p == '\0') { return E_EOF; }
    size_t name_len = strcspn(p, "= \t\"");
    if (p[name_len] != '=' || name_len == 0) {
        return fault_set(why, E_CONFIG, "expected name=value, not %.40s", p);
    }
    *ret_name = arena_strndup(memory, p, name_len);
    p += name_len + 1;
    char *value = arena_alloc(memory, strlen(p) + 1), *to = value;
    bool inside = false;
    for (; *p != '\0' && (inside || (*p != ' ' && *p != '\t')); p++) {
        if (*p != '"') {
            *to++ = *p;
        } else if (inside && p[1] == '"') {
            *to++ = *p++;
        } else {
            inside = !inside;
        }
    }
    if (inside) {
        return fault_set(why, E_CONFIG, "%.40s: the closing quote is missing", *ret_name);
    }
    *ret_value = value;
    *at = p;
    return E_OK;
}

enum err ldapopt_parse(const char *text, struct arena *memory, struct ldapopt *ret,
                       struct fault *why)
{
    const char *name = "", *value = "";
    ldapopt_init(ret);
    enum err e;
    while ((e = take_pair(&text, memory, &name, &value, why)) == E_OK) {
        e = ldapopt_set(ret, memory, name, value, why);
        if (e == E_NOTFOUND) { return fault_set(why, E_CONFIG, "unknown LDAP option %.40s", name); }
        if (e != E_OK) { return e; }
    }
    return e == E_EOF ? ldapopt_check(ret, why) : e;
}

/* ---- use */

char *ldapopt_url(const struct ldapopt *o)
{
    int port = o->port != 0 ? o->port : strcmp(o->scheme, "ldaps") == 0 ? 636 : 389;
    if (o->server == NULL) { return NULL; }
    struct buf out = {0};
    for (const char *p = o->server; *(p += strspn(p, " ")) != '\0';) {
        size_t len = strcspn(p, " ");
        bool has_port = memchr(p, ':', len) != NULL && p[0] != '[';
        buf_printf(&out, "%s%s://%.*s", buf_len(&out) == 0 ? "" : " ", o->scheme, (int)len, p);
        if (!has_port) { buf_printf(&out, ":%d", port); }
        p += len;
    }
    char *url = mem_strdup(buf_text(&out));
    buf_done(&out);
    return url;
}

/* RFC 4514: what would end a value inside a DN. */
static void put_dn_value(struct buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        bool special = strchr("\"+,;<>\\=#", *p) != NULL || *p == ' ' || (uint8_t)*p < 0x20;
        if (special) {
            buf_printf(out, "\\%02x", (uint8_t)*p);
        } else {
            buf_put(out, p, 1);
        }
    }
}

/* RFC 4515: what means something inside a filter. */
static void put_filter_value(struct buf *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr("*()\\", *p) != NULL) {
            buf_printf(out, "\\%02x", (uint8_t)*p);
        } else {
            buf_put(out, p, 1);
        }
    }
}

static char *give(struct buf *out)
{
    char *text = mem_strdup(buf_text(out));
    buf_done(out);
    return text;
}

char *ldapopt_user_dn(const struct ldapopt *o, const char *user)
{
    /* A suffix like @example.net is no DN but Active Directory's other form: nothing to escape. */
    bool is_dn = strchr(o->prefix, '=') != NULL;
    struct buf out = {0};
    buf_printf(&out, "%s", o->prefix);
    if (is_dn) {
        put_dn_value(&out, user);
    } else {
        buf_printf(&out, "%s", user);
    }
    buf_printf(&out, "%s", o->suffix);
    return give(&out);
}

char *ldapopt_user_filter(const struct ldapopt *o, const char *user)
{
    static const char mark[] = "$username";
    struct buf out = {0};
    if (o->search_filter == NULL) {
        buf_printf(&out, "(%s=", o->search_attribute == NULL ? "uid" : o->search_attribute);
        put_filter_value(&out, user);
        buf_printf(&out, ")");
        return give(&out);
    }
    const char *p = o->search_filter;
    for (const char *found; (found = strstr(p, mark)) != NULL; p = found + sizeof mark - 1) {
        buf_put(&out, p, (size_t)(found - p));
        put_filter_value(&out, user);
    }
    buf_printf(&out, "%s", p);
    return give(&out);
}
