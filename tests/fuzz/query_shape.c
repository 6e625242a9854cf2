/*
 * A text and the plainest text of the same shape have the same facts and, for libpg_query, the same
 * fingerprint: what the scanner left out were literals and nothing else.
 */
#include <pg_query.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/query/told.h"
#include "query/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The shape with the same literals everywhere. Quoted parts of it are copied as they are. */
static void put_plainest(struct buf *out, struct bytes shape)
{
    uint8_t quote = 0;
    for (size_t i = 0; i < shape.len; i++) {
        uint8_t c = shape.ptr[i];
        if (quote != 0) {
            buf_put_u8(out, c);
            if (c == quote) { quote = 0; }
        } else if (c == 1) {
            buf_put(out, "'q;--/*'", 8);
        } else if (c == 2) {
            buf_put(out, "7", 1);
        } else if (c == 3) {
            buf_put(out, "8.25", 4);
        } else {
            if (c == '\'' || c == '"') { quote = c; }
            buf_put_u8(out, c);
        }
    }
}

static uint64_t fingerprint(const char *text)
{
    PgQueryFingerprintResult r = pg_query_fingerprint(text);
    uint64_t print = r.error == NULL ? r.fingerprint : 0;
    pg_query_free_fingerprint_result(r);
    return print;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf shape = {0}, plainest = {0}, again = {0}, copy = {0};
    if (!shape_scan(bytes_of(data, size), &shape)) { goto out; }
    put_plainest(&plainest, buf_view(&shape));
    if (!shape_scan(buf_view(&plainest), &again)) { abort(); }
    if (!bytes_equal(buf_view(&shape), buf_view(&again))) { abort(); }

    buf_put(&copy, data, size);
    char *told = tell_text(buf_view(&copy)), *expected = tell_text(buf_view(&plainest));
    if (strcmp(told, expected) != 0) { abort(); }
    if (strncmp(told, "UNKNOWN", 7) != 0 &&
        fingerprint(buf_text(&copy)) != fingerprint(buf_text(&plainest))) {
        abort();
    }
    free(told);
    free(expected);
out:
    buf_done(&shape);
    buf_done(&plainest);
    buf_done(&again);
    buf_done(&copy);
    return 0;
}
