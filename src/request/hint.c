/*
 * Hints: a comment of the form slash-star pgusher: WORD star-slash at the front or the end of a
 * statement. A hint only narrows what rules allow: `primary` keeps a read off replicas, `nocache`
 * off the cache; `replica` and other words change nothing that was not allowed already.
 */
#include <string.h>
#include <strings.h>

#include "request/request.h"

static bool has_word(struct bytes comment, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= comment.len; i++) {
        if (strncasecmp((const char *)comment.ptr + i, word, len) == 0) { return true; }
    }
    return false;
}

static unsigned read_comment(struct bytes comment)
{
    static const char mark[] = "pgusher:";
    while (comment.len > 0 && *comment.ptr == ' ') { comment = bytes_skip(comment, 1); }
    if (comment.len < sizeof mark - 1 || memcmp(comment.ptr, mark, sizeof mark - 1) != 0) {
        return 0;
    }
    comment = bytes_skip(comment, sizeof mark - 1);
    return (has_word(comment, "primary") ? HINT_PRIMARY : 0) |
           (has_word(comment, "nocache") ? HINT_NOCACHE : 0);
}

unsigned hint_read(struct bytes text)
{
    unsigned hints = 0;
    if (text.len >= 4 && memcmp(text.ptr, "/*", 2) == 0) {
        const uint8_t *end = memmem(text.ptr + 2, text.len - 2, "*/", 2);
        if (end != NULL) {
            hints |= read_comment(bytes_of(text.ptr + 2, (size_t)(end - text.ptr) - 2));
        }
    }
    while (text.len > 0 && (text.ptr[text.len - 1] <= ' ' || text.ptr[text.len - 1] == ';')) {
        text.len--;
    }
    if (text.len >= 4 && memcmp(text.ptr + text.len - 2, "*/", 2) == 0) {
        size_t at = text.len - 2;
        while (at >= 2 && memcmp(text.ptr + at - 2, "/*", 2) != 0) { at--; }
        if (at >= 2) { hints |= read_comment(bytes_of(text.ptr + at, text.len - 2 - at)); }
    }
    return hints;
}
