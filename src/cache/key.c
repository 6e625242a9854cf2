/*
 * The canonical key: every field with its length in front, in a fixed order, behind a format
 * version. Two questions have equal bytes only if every field is equal; plain concatenation would
 * make database "a", role "bc" the same question as database "ab", role "c".
 */
#include "cache/cache.h"

#define KEY_FORMAT 1

static void put_field(struct buf *out, struct bytes field)
{
    buf_put_u32(out, (uint32_t)field.len);
    buf_put_bytes(out, field);
}

void cache_key(const struct cache_key_parts *parts, struct buf *out)
{
    buf_put_u8(out, KEY_FORMAT);
    buf_put_u8(out, parts->redis ? 1 : 0);
    buf_put_u8(out, parts->protocol);
    buf_put_u8(out, parts->described ? 1 : 0);
    put_field(out, bytes_str(parts->database));
    put_field(out, parts->node_id);
    put_field(out, bytes_str(parts->role));
    put_field(out, bytes_str(parts->session_user));
    put_field(out, parts->settings);
    put_field(out, parts->text);
    put_field(out, bytes_of(parts->types, (size_t)parts->types_count * 4));
    put_field(out, parts->bind);
}
