/* Any bytes as a statement with tags: a value has no zero byte, and is the same when asked twice.
 */
#include <assert.h>

#include "settings/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tags t;
    struct buf first = {0}, second = {0};
    tags_find(bytes_of(data, size), &t);
    assert(t.count <= TAGS_MOST_COMMENTS);
    for (size_t i = 0; i < t.count; i++) {
        assert(t.comments[i].ptr >= data);
        assert(t.comments[i].ptr + t.comments[i].len <= data + size);
    }
    if (tags_get(&t, BYTES("id"), &first)) {
        assert(buf_len(&first) == 0 || memchr(buf_view(&first).ptr, 0, buf_len(&first)) == NULL);
        bool again = tags_get(&t, BYTES("id"), &second);
        assert(again && bytes_equal(buf_view(&first), buf_view(&second)));
    } else {
        assert(buf_len(&first) == 0);
    }
    buf_done(&first);
    buf_done(&second);
    return 0;
}
