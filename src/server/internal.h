/* Shared by the files of server/ only. */
#pragma once

#include "server/server.h"

void server_ready_event(void *arg, int events);
/* The server goes away: the cancel on its way is left to itself. */
void cancel_forget(struct server *s);
