/* What the files of admit share. */
#pragma once

#include "auth/lookup.h"
#include "auth/verify.h"
#include "base/log.h"
#include "client/admit.h"

enum admit_step {
    ADMIT_BEGIN,
    ADMIT_LOOKUP,   /* auth_query is at work */
    ADMIT_VERIFY,   /* verify.c waits for the client */
    ADMIT_PASSWORD, /* for PAM or LDAP, waited for from the client */
    ADMIT_HELPER,   /* a helper's thread is at work */
    ADMIT_OVER,
};

struct admit {
    struct client *client;
    struct admit_who who;
    void (*decided)(struct client *c, enum err e, const struct fault *why);
    enum admit_step step;
    enum hba_method method;
    struct hba *hba; /* or NULL; owns rule */
    const struct hba_rule *rule;
    bool is_operator;
    struct userlist *userlist;
    const struct user_secret *secret; /* NULL: no such user */
    struct credential *credential;    /* of auth_query, or of PAM and LDAP; or NULL */
    struct lookup_ticket *ticket;
    struct verify *verify;
    struct peer_job *peer;
    struct outside_job *outside;
};

struct log_who admit_log(const struct admit *a);
/* What everybody hears whose password or name is wrong. */
enum err admit_refuse(struct fault *why);
/* Later: the verdict goes to the login, which may free `a`. */
void admit_tell(struct admit *a, enum err e, const struct fault *why);

/* admit_place.c: where auth_query is to be run for this login; false: nowhere, auth_file is all
 * there is.
 */
bool admit_place(const struct admit *a, struct lookup_place *ret);

/* admit_helper.c: what a helper's thread does. */
MUST_USE enum err admit_start_peer(struct admit *a, struct fault *why);
MUST_USE enum err admit_start_password(struct admit *a);
MUST_USE enum err admit_ask_outside(struct admit *a, struct bytes body, struct fault *why);
void admit_leave_helper(struct admit *a); /* the client is gone */
