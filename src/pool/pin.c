/* How many servers are kept by their clients between transactions, and when that is too many. */
#include "base/clock.h"
#include "pool/internal.h"

/* Others have to make do with less than half: said once a minute. */
static void tell(const struct server *s, unsigned pinned, unsigned size)
{
    enum { TELL_US = 60 * US_PER_S };
    struct pool *p = s->pool;
    int64_t now_us = clock_now_us(), told_us = atomic_load(&p->pinned_told_us);
    if (told_us != 0 && now_us - told_us < TELL_US) { return; }
    if (!atomic_compare_exchange_strong(&p->pinned_told_us, &told_us, now_us)) { return; }
    const struct log_who who = pool_who(s);
    log_warn(&who,
             "event=pool_mostly_pinned pinned=%u size=%u hint=\"SHOW PINS tells why clients keep "
             "their servers; max_pinned_servers limits it\"",
             pinned, size);
}

bool pool_pin(struct server *s, bool anyway)
{
    struct pool *p = s->pool;
    if (s->pinned) { return true; }
    lock_take(&p->lock);
    bool may = anyway || p->pinned_limit == 0 || p->pinned < p->pinned_limit;
    if (may) {
        p->pinned++;
        s->pinned = true;
    }
    unsigned pinned = p->pinned, size = pool_limit(p);
    lock_drop(&p->lock);
    if (may && size > 1 && pinned > size / 2) { tell(s, pinned, size); }
    return may;
}

void pool_unpin(struct server *s)
{
    struct pool *p = s->pool;
    if (!s->pinned) { return; }
    lock_take(&p->lock);
    p->pinned--;
    s->pinned = false;
    lock_drop(&p->lock);
}
