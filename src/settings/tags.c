/*
 * A comment counts as a whole or not at all: a slip in one pair makes all of it no tags. White
 * space is allowed around pairs, as some of sqlcommenter's libraries put it there.
 */
#include "settings/tags.h"

#include "settings/scan.h"

void tags_find(struct bytes text, struct tags *ret)
{
    size_t leading = 0;
    bool before = true, too_many = false;
    ret->count = 0;
    for (struct bytes rest = text;;) {
        struct scan_token t = scan_next(&rest);
        switch (t.kind) {
        case SCAN_END:
            if (too_many) { ret->count = 0; }
            return;
        case SCAN_DOUBT: ret->count = 0; return;
        case SCAN_COMMENT:
            if (ret->count == TAGS_MOST_COMMENTS) {
                too_many = true;
            } else {
                ret->comments[ret->count++] = t.inside;
            }
            break;
        case SCAN_SEMICOLON: break;
        case SCAN_WORD:
        case SCAN_STRING:
        case SCAN_IDENT:
        case SCAN_OTHER:
            /* what came after the leading ones stands in the middle */
            if (before) {
                leading = ret->count;
                before = false;
            } else {
                too_many = false;
            }
            ret->count = leading;
            break;
        }
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') { return c - '0'; }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One decoded byte of *rest into *ret. A zero byte fits no setting. */
static bool take_byte(struct bytes *rest, uint8_t *ret)
{
    uint8_t c = rest->ptr[0];
    size_t len = 1;
    if (c == '\\' && rest->len > 1) {
        c = rest->ptr[1];
        len = 2;
    } else if (c == '%') {
        int high = rest->len < 3 ? -1 : hex_digit(rest->ptr[1]);
        int low = rest->len < 3 ? -1 : hex_digit(rest->ptr[2]);
        if (high < 0 || low < 0) { return false; }
        c = (uint8_t)(high << 4 | low);
        len = 3;
    }
    *rest = bytes_skip(*rest, len);
    *ret = c;
    return c != 0;
}

static void skip_spaces(struct bytes *rest)
{
    while (rest->len > 0 &&
           (rest->ptr[0] == ' ' || (rest->ptr[0] >= '\t' && rest->ptr[0] <= '\r'))) {
        *rest = bytes_skip(*rest, 1);
    }
}

static bool skip_byte(struct bytes *rest, char c)
{
    if (rest->len == 0 || rest->ptr[0] != (uint8_t)c) { return false; }
    *rest = bytes_skip(*rest, 1);
    return true;
}

/* key='value' of *rest. */
static bool take_pair(struct bytes *rest, struct buf *key, struct buf *value)
{
    uint8_t c = 0;
    skip_spaces(rest);
    while (rest->len > 0 && rest->ptr[0] != '=' && rest->ptr[0] != ' ' && rest->ptr[0] != '\'' &&
           rest->ptr[0] != ',') {
        if (!take_byte(rest, &c)) { return false; }
        buf_put_u8(key, c);
    }
    skip_spaces(rest);
    if (buf_len(key) == 0 || !skip_byte(rest, '=')) { return false; }
    skip_spaces(rest);
    if (!skip_byte(rest, '\'')) { return false; }
    while (rest->len > 0 && rest->ptr[0] != '\'') {
        if (!take_byte(rest, &c)) { return false; }
        buf_put_u8(value, c);
    }
    if (!skip_byte(rest, '\'')) { return false; }
    skip_spaces(rest);
    return true;
}

enum verdict { ABSENT, PRESENT, BROKEN };

/* One comment: the tag's value goes to out; BROKEN when it holds two that differ. */
static enum verdict read_comment(struct bytes comment, struct bytes name, struct buf *out)
{
    enum verdict v = ABSENT;
    bool more = true;
    while (more && v != BROKEN) {
        struct buf key = {0}, value = {0};
        if (!take_pair(&comment, &key, &value)) {
            buf_done(&key);
            buf_done(&value);
            return ABSENT; /* no tags at all: an ordinary comment */
        }
        if (bytes_equal(buf_view(&key), name)) {
            if (v == PRESENT && !bytes_equal(buf_view(out), buf_view(&value))) {
                v = BROKEN;
            } else {
                v = PRESENT;
                buf_clear(out);
                buf_put_bytes(out, buf_view(&value));
            }
        }
        buf_done(&key);
        buf_done(&value);
        more = skip_byte(&comment, ',');
    }
    if (v != BROKEN && comment.len > 0) { return ABSENT; }
    return v;
}

bool tags_get(const struct tags *t, struct bytes name, struct buf *out)
{
    struct buf found = {0};
    enum verdict all = ABSENT;
    for (size_t i = 0; i < t->count && all != BROKEN; i++) {
        struct buf value = {0};
        enum verdict v = read_comment(t->comments[i], name, &value);
        if (v == PRESENT && all == ABSENT) {
            all = PRESENT;
            buf_put_bytes(&found, buf_view(&value));
        } else if (v == BROKEN ||
                   (v == PRESENT && !bytes_equal(buf_view(&found), buf_view(&value)))) {
            all = BROKEN;
        }
        buf_done(&value);
    }
    if (all == PRESENT) { buf_put_bytes(out, buf_view(&found)); }
    buf_done(&found);
    return all == PRESENT;
}
