/*
 * When each relation was last written through pgusher: read_consistency = cluster sends a read to a
 * replica only when that is past the write. A fixed table of hashed slots: a collision only keeps a
 * read on the primary a little longer. Lock-free, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct recency;
struct recency *recency_new(void);
void recency_free(struct recency **r);
/* all: any relation may have been written. now_us: after the commit was acknowledged by the server.
 */
void recency_note(struct recency *r, bool all, const uint32_t *relations, unsigned count,
                  int64_t now_us);
/* The latest write to any of the relations (count 0: to any relation at all). */
int64_t recency_last(const struct recency *r, const uint32_t *relations, unsigned count);
