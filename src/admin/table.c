/* DataRow messages, value by value. Protocol: "Message Formats", DataRow. */
#include "admin/table.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

struct table table_of(struct buf *out, const struct column *columns, unsigned count)
{
    assert(count > 0 && count <= UINT16_MAX);
    return (struct table){.out = out, .columns = columns, .count = count, .filled = count};
}

void table_row(struct table *t)
{
    assert(t->filled == t->count);
    t->filled = 0;
    t->mark = compose_begin(t->out, 'D');
    buf_put_u16(t->out, (uint16_t)t->count);
}

void table_bytes(struct table *t, struct bytes text)
{
    assert(t->filled < t->count);
    t->filled++;
    buf_put_u32(t->out, (uint32_t)text.len);
    buf_put_bytes(t->out, text);
}

void table_null(struct table *t)
{
    assert(t->filled < t->count);
    t->filled++;
    buf_put_u32(t->out, UINT32_MAX);
}

void table_text(struct table *t, const char *text)
{
    if (text == NULL) {
        table_null(t);
    } else {
        table_bytes(t, bytes_str(text));
    }
}

void table_int(struct table *t, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    table_text(t, text);
}

void table_yes(struct table *t, bool yes)
{
    table_text(t, yes ? "yes" : "no");
}

void table_time(struct table *t, int64_t wall_us)
{
    char text[64];
    struct tm tm;
    time_t seconds = (time_t)(wall_us / US_PER_S);
    if (wall_us == 0 || localtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0) {
        table_null(t);
    } else {
        table_text(t, text);
    }
}

void table_pointer(struct table *t, const void *p)
{
    char text[24] = "";
    if (p != NULL) { (void)snprintf(text, sizeof text, "%p", p); }
    table_text(t, text);
}

void table_end(struct table *t)
{
    assert(t->filled == t->count);
    compose_end(t->out, t->mark);
}
