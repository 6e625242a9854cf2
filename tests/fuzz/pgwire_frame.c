/* Cuts a stream into messages: every body lies within the stream, and the stream always gets
 * shorter. */
#include <assert.h>

#include "pgwire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    unsigned sum = 0;
    for (;;) {
        struct frame f;
        if (frame_peek(in, &f) != E_OK) { break; }
        assert(f.size >= FRAME_HEADER && f.size <= (uint32_t)FRAME_MAX + 1);
        if (f.size > in.len) { break; }
        struct bytes body = frame_body(in, f);
        for (size_t i = 0; i < body.len; i++) { sum += body.ptr[i]; }
        in = bytes_skip(in, f.size);
    }
    return sum == UINT32_MAX ? -1 : 0;
}
