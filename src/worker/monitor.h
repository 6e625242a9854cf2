/* One watch per database that needs one: its nodes' health and its catalog. Control thread. */
#pragma once

#include "net/loop.h"
#include "pool/registry.h"

struct monitors;

struct monitors *monitors_new(struct loop *l);
/* Databases in force are watched, retired ones no longer. */
void monitors_follow(struct monitors *m, struct registry *r, struct userlist *users);
/* Stops all and runs the loop until they are closed. */
void monitors_free(struct monitors **m);
