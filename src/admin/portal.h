/*
 * The extended protocol on the console: a client's prepared statements and portals. A command runs
 * at its Execute, once; its rows wait in the portal, in text, until they are sent in the formats
 * that the Bind asked for. Protocol: "Message Flow", Extended Query.
 */
#pragma once

#include "admin/command.h"
#include "admin/session.h"

/* Parse, Bind, Describe, Execute or Close, whole. A command may still be running on return. */
void portal_take(struct session *s, uint8_t type, struct bytes body);
/* Sync, or a simple query: outside of a transaction block the portals end. */
void portal_end(struct session *s);
/* The running command's answer is over, well or badly. */
void portal_complete(struct session *s, const char *tag);
void portal_fail(struct session *s);
/* Where the rows of the running command go. */
struct buf *portal_rows(struct portal *p);
/* DEALLOCATE; name NULL: all. false: there is no such statement. */
bool portal_deallocate(struct session *s, const char *name);
/* The client has left. */
void portal_forget(struct session *s);
