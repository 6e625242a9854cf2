/*
 * Taking leave of what nobody uses: definitions that a reload replaced, databases made from "*"
 * that were idle for autodb_idle_timeout, accounts for pool_idle_timeout.
 *
 * Whoever finds something goes on with it without the lock until its callback ends. So nothing is
 * freed where it stands: it is taken out of the tables first, when nobody uses it, and freed when
 * every worker has opened its mailbox twice since. Twice, because what a callback still posts to
 * another worker is opened within the second round. What has come into use meanwhile is put back.
 * All on the control thread.
 */
#pragma once

#include "pool/registry.h"

/* Takes out what is unused. true: something is out, and waits for those rounds. */
bool registry_doom(struct registry *r, int64_t now_us);
/* During the rounds, on any worker: the databases that are out, by their ids. */
const uint32_t *registry_doomed(const struct registry *r, size_t *ret_count);
/* The rounds are over: frees what is still unused and puts back the rest. Returns how many
 * databases and accounts are freed. */
size_t registry_reap(struct registry *r);
