/* Shared by login.c and packets.c only: a login in progress. */
#pragma once

#include "client/admit.h"
#include "client/client.h"
#include "client/peers.h"
#include "client/replication.h"
#include "client/welcome.h"
#include "pgwire/startup.h"

enum login_step {
    LOGIN_STARTUP,
    LOGIN_TLS,
    LOGIN_FORWARD,
    LOGIN_AUTH,
    LOGIN_REFUSED,
    LOGIN_WELCOME
};

struct login {
    enum login_step step;
    struct config *config; /* one reference */
    struct address peer;
    bool console;
    struct admit *admit;
    struct fault refused; /* told when its time has come */
    char *user, *database, *application_name;
    const struct varset *given; /* startup parameters and options */
    unsigned refusals;          /* of encryption */
    bool late;                  /* pgusher was stopping already: the console only */
    bool long_key;              /* protocol 3.2 */
    struct tls_context *tls;    /* one reference; NULL: there is no TLS for this client */
    bool direct;                /* it began with TLS, without asking */
    enum replication_kind replication;
    bool negotiate;
    struct forward *forward; /* LOGIN_FORWARD: a cancel request is on its way to a peer */
    struct welcome *welcome;
};

/* ---- login.c: who it is, and with which settings */
void login_take_startup(struct client *c, const struct startup *s);
/* What the client sent last to prove itself is worth. E_AGAIN: more is asked of it. */
void login_take_verdict(struct client *c, enum err e, const struct fault *verdict);
/* The login may be over: the next owner looks at what came after its last message. */
void login_go_on(struct client *c);

/* ---- packets.c: the bytes that this comes by */
void packets_event(void *arg, int events);
/* What is here already. */
void packets_take(struct client *c);
