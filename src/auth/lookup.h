/*
 * auth_query: asks a database for the secrets of users that auth_file does not know. Questions come
 * from the workers, the asking happens on the control loop, over connections that are used for
 * nothing else: no client's setting ever reaches them. Answers are kept for a while (answers.h).
 */
#pragma once

#include "auth/credential.h"
#include "config/config.h"
#include "net/loop.h"

struct lookup;
struct lookup_ticket;

struct lookup_place { /* whom to ask, and what. Borrowed for the call */
    const char *name; /* of the [databases] line, for people */
    const char *dbname;
    const struct host_config *hosts; /* asked in turn: the primary if there is one, else any */
    size_t hosts_count;
    const char *user, *password; /* auth_user's; NULL: libpq looks for the password */
    const char *query;           /* $1 is the user */
    /* Nothing may stand in front of pg_catalog: for the default query. What an operator writes may
     * count on the auth_user's own search_path. */
    bool only_catalog;
    const struct options *tls; /* whose server_tls_* hold */
    int64_t connect_timeout_us, ttl_us, negative_ttl_us;
};

/* Lives on that loop. */
struct lookup *lookup_new(struct loop *l);
/* Closes all connections and runs the loop until they are; questions are no longer answered. */
void lookup_stop(struct lookup *l);
/* After the loop has ended. */
void lookup_free(struct lookup **l);

/*
 * Any thread with a loop of its own, `back`. E_OK: *ret_found is a reference for the caller.
 * E_NOTFOUND: no such user. E_AGAIN: done() comes on `back`, with the same two, or with E_LOST,
 * E_TIMEOUT (no server can be asked), E_SERVER, E_CONFIG (the query is wrong), E_LIMIT, which were
 * logged. found: borrowed for the call.
 */
MUST_USE enum err lookup_ask(struct lookup *l, const struct lookup_place *place, const char *user,
                             struct loop *back,
                             void (*done)(void *arg, enum err e, struct credential *found),
                             void *arg, struct lookup_ticket **ret, struct credential **ret_found);
/* The kind of the secret that was found last; before, what new ones are: SECRET_SCRAM. Any thread.
 */
enum secret_kind lookup_usual(const struct lookup *l);
/* done() does not come. Only until it came. */
void lookup_leave(struct lookup_ticket **t);
/* A reload: everybody is asked for anew. */
void lookup_forget_all(struct lookup *l);
/* The user's secret did not fit: the next one who asks gets a fresh answer. */
void lookup_forget(struct lookup *l, const struct lookup_place *place, const char *user);
