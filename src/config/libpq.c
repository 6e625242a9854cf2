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

char *config_libpq_tls(const struct options *o)
{
    struct buf out = {0};
    bool verifies = o->server_tls_sslmode >= TLS_VERIFY_CA;
    put_word(&out, "sslmode", option_tls_modes[o->server_tls_sslmode]);
    put_file(&out, "sslrootcert", o->server_tls_ca_file, verifies);
    put_file(&out, "sslcrl", o->server_tls_crl_file, verifies);
    put_file(&out, "sslcert", o->server_tls_cert_file, true);
    put_file(&out, "sslkey", o->server_tls_key_file, true);
    char *text = mem_strdup(buf_text(&out));
    buf_done(&out);
    return text;
}
