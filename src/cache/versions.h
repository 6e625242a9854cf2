/*
 * Version counters of this process, per (database, relation) and one per whole database. A value
 * never returns, so an entry stamped with it is void for good once the counter has moved. Any
 * thread, no lock.
 */
#pragma once

#include <stdint.h>

struct versions;

struct versions *versions_new(void);
void versions_free(struct versions **v);
/* ret[0]: the whole database, ret[i + 1]: relations[i]. */
void versions_read(struct versions *v, uint32_t database, const uint32_t *relations, unsigned count,
                   uint64_t *ret);
/* relation 0: everything of the database. */
void versions_bump(struct versions *v, uint32_t database, uint32_t relation);
