/* One watch per database that needs one: its nodes' health and its catalog. Control thread. */
#pragma once

#include "net/loop.h"
#include "pool/registry.h"

struct monitors;

struct monitors *monitors_new(struct loop *l);
/* Retired databases are watched no longer. */
void monitors_leave(struct monitors *m);
/* ... and those in force are. */
void monitors_follow(struct monitors *m, struct registry *r, struct userlist *users);
/* Stops all and runs the loop until they are closed. */
void monitors_free(struct monitors **m);
