/*
 * How long the answer to a failed login waits: longer with each failure from the same address. The
 * wait also begins at a base that is longer than any check takes, so that the time of an answer
 * does not tell an unknown user from a wrong password. Right passwords never wait. Bounded: the
 * address that failed longest ago is forgotten first. Any thread.
 */
#pragma once

#include <sys/socket.h>

#include "base/bytes.h"

enum { PENALTY_BASE_US = 50000, PENALTY_MOST_US = 5000000, PENALTY_MEMORY_US = 60000000 };
enum { PENALTY_ADDRESSES = 4096 };

struct penalties;

struct penalties *penalties_new(unsigned most_addresses);
void penalties_free(struct penalties **p);
/*
 * A login failed. Returns how long its answer waits: the base, doubled with each failure, until
 * none comes for PENALTY_MEMORY_US. An IPv6 network of 64 bits is one address; all unix sockets
 * are one too.
 */
int64_t penalty_note(struct penalties *p, const struct sockaddr *from, int64_t now_us);
