/* Shared by the files of listen/ only. */
#pragma once

#include "listen/exchange.h"
#include "listen/listener.h"

struct branch { /* of one worker and one database */
    struct loop *loop;
    struct exchange *exchange;
    uint32_t database_id;
    struct hmap topics; /* struct topic */
    unsigned asks;      /* under way */
    bool closed, gone;  /* home is told so; knows it no more: freed with the last of its asks */
    struct letter farewell;
};

struct ask { /* from a branch to the exchange and back */
    struct letter letter;
    struct branch *branch;
    struct exchange *exchange;
    struct account *account;
    struct dlist node; /* in its hub */
    char *encoding;
    char **names; /* of channels */
    unsigned count;
    enum sender sender;
    uint32_t pid, told;
    enum err e;
    void (*done)(void *arg, enum err e); /* NULL: nobody waits */
    void *arg;
};

struct note { /* a notification on its way to a branch; or, without a channel, the end of all */
    struct letter letter;
    struct branch *branch;
    uint32_t pid;
    bool mapped; /* the pid is one that a client was told */
    const char *channel, *payload;
    char text[];
};

/* ---- from home to a branch; listener.c opens them */
void ask_answer(struct ask *a, enum err e);
/* channel NULL: the connection is lost, and with it every channel of the branch. */
void note_post(struct branch *b, uint32_t pid, bool mapped, const char *channel,
               const char *payload);

void branch_gone(struct branch *b); /* on its loop */

/* ---- from a branch to home: exchange.c */
void exchange_ask(struct ask *a);
/* Nobody of the branch listens to it any more. */
void exchange_leave(const struct branch *b, const char *channel);
/* The branch is told nothing more, and that it is so: branch_gone(). */
void exchange_part(struct branch *b);

/* ---- hub.c: one database's connection, at home */
struct hub;

struct exchange {
    struct loop *home;
    struct hmap hubs; /* by the database's id */
    _Atomic unsigned hubs_count;
    bool closed;
};

/* The database's hub, or NULL. */
struct hub *hub_find(const struct exchange *x, uint32_t database_id);
struct hub *hub_new(struct exchange *x, struct account *a, const char *encoding);
void hub_ask(struct hub *h, struct ask *a);
void hub_leave(struct hub *h, const struct branch *b, const char *channel);
void hub_forget(struct hub *h, const struct branch *b);
void hub_free(struct hub **h);
