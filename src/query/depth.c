/*
 * libpg_query and protobuf-c build the tree by recursion and check no stack. So the depth is
 * bounded before: every token is taken to nest one level deeper than the one before it, until
 * something proves that a new subtree begins: a comma, AND, OR (whose chains the grammar makes
 * flat) or the end of a bracket. What may continue a chain across such a token (joins, set
 * operations, NOT, BETWEEN, CASE) keeps what was counted. A closed bracket counts as the deepest
 * item it held, since what follows it may be its parent.
 *
 * The worst texts found need less than 4 kB of stack for each token counted.
 */
#include "query/depth.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "base/mem.h"

enum {
    DEPTH_LIMIT = 1500,
    BRACKET_DEPTH = 4, /* tokens' worth of nodes between a bracket and an item of a list in it */
    KEPT_DEPTH = 3,    /* the same for a token that a separator does not end */
};

struct level {
    uint32_t kept;    /* survives a separator */
    uint32_t chain;   /* since the last separator */
    uint32_t deepest; /* of the items before it */
};

struct depth {
    struct level levels[DEPTH_LIMIT + 1];
    uint32_t top;
    uint32_t below; /* kept + chain of all levels under the top */
};

static void separate(struct level *at)
{
    if (at->kept + at->chain > at->deepest) { at->deepest = at->kept + at->chain; }
    at->chain = 0;
}

static void open_bracket(struct depth *d)
{
    d->below += d->levels[d->top].kept + d->levels[d->top].chain;
    d->levels[++d->top] = (struct level){.kept = BRACKET_DEPTH};
}

static void close_bracket(struct depth *d)
{
    if (d->top == 0) { return; }
    separate(&d->levels[d->top]);
    uint32_t deepest = d->levels[d->top].deepest;
    struct level *at = &d->levels[--d->top];
    d->below -= at->kept + at->chain;
    at->chain += deepest;
}

static void count_token(struct depth *d, PgQuery__Token token)
{
    struct level *at = &d->levels[d->top];
    switch ((int)token) {
    case PG_QUERY__TOKEN__SQL_COMMENT:
    case PG_QUERY__TOKEN__C_COMMENT: return;
    case PG_QUERY__TOKEN__ASCII_40: /* ( */
    case PG_QUERY__TOKEN__ASCII_91: /* [ */ open_bracket(d); return;
    case PG_QUERY__TOKEN__ASCII_41: /* ) */
    case PG_QUERY__TOKEN__ASCII_93: /* ] */ close_bracket(d); return;
    case PG_QUERY__TOKEN__ASCII_59: /* ; */
        if (d->top == 0) { at->kept = 0; }
        separate(at);
        return;
    case PG_QUERY__TOKEN__ASCII_44: /* , */
    case PG_QUERY__TOKEN__AND:
    case PG_QUERY__TOKEN__OR: separate(at); return;
    case PG_QUERY__TOKEN__NOT:
    case PG_QUERY__TOKEN__NOT_LA:
    case PG_QUERY__TOKEN__BETWEEN:
    case PG_QUERY__TOKEN__CASE:
    case PG_QUERY__TOKEN__JOIN:
    case PG_QUERY__TOKEN__UNION:
    case PG_QUERY__TOKEN__INTERSECT:
    case PG_QUERY__TOKEN__EXCEPT:
        at->kept += at->chain + KEPT_DEPTH;
        at->chain = 0;
        return;
    default: at->chain++; return;
    }
}

static bool tokens_are_safe(const PgQuery__ScanResult *scan)
{
    struct depth *d = mem_new(struct depth);
    bool safe = true;
    for (size_t i = 0; i < scan->n_tokens && safe; i++) {
        count_token(d, scan->tokens[i]->token);
        const struct level *at = &d->levels[d->top];
        safe = d->below + at->kept + at->chain <= DEPTH_LIMIT && d->top < DEPTH_LIMIT;
    }
    mem_free(&d);
    return safe;
}

/* At least the number of tokens, for a glance that spares most texts the scan. */
static size_t most_tokens(struct bytes text)
{
    size_t count = 0;
    bool in_word = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
        bool space = c == ' ' || (c >= '\t' && c <= '\r');
        count += !space && !(letter && in_word);
        in_word = letter;
    }
    return count;
}

bool depth_is_safe(struct bytes text)
{
    if (most_tokens(text) <= DEPTH_LIMIT) { return true; }
    PgQueryScanResult scanned = pg_query_scan((const char *)text.ptr);
    bool safe = true;
    if (scanned.error == NULL) {
        PgQuery__ScanResult *scan = pg_query__scan_result__unpack(
            NULL, scanned.pbuf.len, (const uint8_t *)scanned.pbuf.data);
        safe = scan != NULL && tokens_are_safe(scan);
        if (scan != NULL) { pg_query__scan_result__free_unpacked(scan, NULL); }
    }
    pg_query_free_scan_result(scanned);
    return safe;
}
