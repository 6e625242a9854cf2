/*
 * What a client is told at login: the parameters of a real server under the client's startup
 * settings. A setting that the server refuses refuses the login, with the server's own words.
 */
#pragma once

#include "pool/pool.h"

struct welcome; /* one question in progress */

/* answer() comes later, never from inside: ParameterStatus messages, or why not. */
struct welcome *
welcome_ask(struct account *a, const struct varset *startup, struct loop *l,
            void (*answer)(void *arg, struct bytes parameters, const struct fault *why), void *arg);
/* answer() will not be called. */
void welcome_drop(struct welcome **w);
/* The console's parameters. */
void welcome_console(struct buf *out, const char *client_encoding);
