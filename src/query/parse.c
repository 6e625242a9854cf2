/*
 * From text to statement: refuse what cannot be parsed safely, let libpg_query parse, keep the
 * facts. libpg_query keeps its memory and its error state per thread and frees them when the thread
 * ends.
 */
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "base/mem.h"
#include "query/classify.h"
#include "query/depth.h"
#include "query/facts.h"

static struct statement *unknown(struct facts *f, const char *why)
{
    struct bytes error = arena_bytes(&f->arena, bytes_str(why));
    struct facts doubt = {.arena = f->arena,
                          .kind = STMT_UNKNOWN,
                          .flags = STMT_WRITES_ALL,
                          .pins = PIN_UNKNOWN,
                          .error = error};
    f->arena = (struct arena){0};
    facts_drop_lists(f);
    return facts_finish(&doubt);
}

static struct statement *parse(struct facts *f, struct bytes text)
{
    if (!depth_is_safe(text)) { return unknown(f, "nested too deeply to be inspected"); }
    PgQueryProtobufParseResult parsed = pg_query_parse_protobuf((const char *)text.ptr);
    PgQuery__ParseResult *tree = NULL;
    struct statement *s;
    if (parsed.error != NULL) {
        s = unknown(f, parsed.error->message);
        goto out;
    }
    tree = pg_query__parse_result__unpack(NULL, parsed.parse_tree.len,
                                          (const uint8_t *)parsed.parse_tree.data);
    if (tree == NULL) {
        s = unknown(f, "the parser's answer could not be read");
        goto out;
    }
    s = classify(f, tree) ? facts_finish(f) : unknown(f, "too many names to be inspected");
out:
    if (tree != NULL) { pg_query__parse_result__free_unpacked(tree, NULL); }
    pg_query_free_protobuf_parse_result(parsed);
    return s;
}

struct statement *query_parse(struct bytes text, size_t max_bytes)
{
    struct facts f = {0};
    if (text.len > max_bytes) { return unknown(&f, "longer than what is inspected"); }
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return unknown(&f, "holds a zero byte");
    }
    char *copy = mem_try(text.len + 1);
    if (copy == NULL) { return unknown(&f, "no memory to inspect it"); }
    if (text.len > 0) { memcpy(copy, text.ptr, text.len); }
    copy[text.len] = '\0';
    if (memchr(copy, '\\', text.len) != NULL) { f.flags |= STMT_BACKSLASH; }
    struct statement *s = parse(&f, bytes_of(copy, text.len));
    mem_free(&copy);
    return s;
}
