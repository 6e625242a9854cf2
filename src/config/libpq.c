/*
 * libpq decides by itself where this process's own code decides for servers: by sslmode=require it
 * verifies when it finds an authority, and it takes certificates, keys and lists from
 * ~/.postgresql. So every word is said, and what shall not be is a file that cannot exist.
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/option.h"
#include "config/protocols.h"

#define NO_FILE "/dev/null/none"

static void put_word(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s='", name);
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\') { buf_put(out, "\\", 1); }
        buf_put(out, value, 1);
    }
    buf_put(out, "' ", 2);
}

static void put_file(struct buf *out, const char *name, const char *path, bool used)
{
    put_word(out, name, used && path[0] != '\0' ? path : NO_FILE);
}

/* libpq knows only a range: the newest that are allowed, without a gap. */
static void put_versions(struct buf *out, const char *words)
{
    static const char *const names[] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};
    struct protocols allowed;
    const char *reason;
    if (protocols_read(words, &allowed, &reason) != E_OK) { return; } /* TLS is off: else refused */
    size_t most = sizeof names / sizeof names[0] - 1;
    while (!allowed.tls1[most]) { most--; }
    size_t least = most;
    while (least > 0 && allowed.tls1[least - 1]) { least--; }
    put_word(out, "ssl_min_protocol_version", names[least]);
    put_word(out, "ssl_max_protocol_version", names[most]);
}

char *config_libpq_tls(const struct options *o)
{
    struct buf out = {0};
    bool verifies = o->server_tls_sslmode >= TLS_VERIFY_CA;
    put_word(&out, "sslmode", option_tls_modes[o->server_tls_sslmode]);
    put_file(&out, "sslrootcert", o->server_tls_ca_file, verifies);
    put_file(&out, "sslcrl", o->server_tls_crl_file, verifies);
    put_file(&out, "sslcert", o->server_tls_cert_file, true);
    put_file(&out, "sslkey", o->server_tls_key_file, true);
    put_versions(&out, o->server_tls_protocols);
    char *text = mem_strdup(buf_text(&out));
    buf_done(&out);
    return text;
}
