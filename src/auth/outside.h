/*
 * Passwords that somebody else checks: PAM and LDAP. Both block: on a helper's thread only.
 * Source: PostgreSQL manual, "PAM Authentication", "LDAP Authentication".
 */
#pragma once

#include "auth/ldapopt.h"

#define OUTSIDE_PAM_SERVICE "pgbouncer" /* PgBouncer's: /etc/pam.d/pgbouncer */
enum { OUTSIDE_LDAP_S = 10 };           /* that a directory may take for one answer */

/*
 * The libraries behind them, which come with twenty others. Control thread, before a configuration
 * that names the method is anybody's; any number of times. Errors: E_CONFIG: it is not there, and
 * why.
 */
MUST_USE enum err outside_load_pam(struct fault *why);
MUST_USE enum err outside_load_ldap(struct fault *why);

/*
 * E_OK: it is the user's password. E_AUTH: it is not; why is for the log, not for the client.
 * E_LOST: who should know cannot be asked. An empty password is never right: LDAP would take it for
 * nobody's. address: of the client; NULL: a unix socket.
 */
MUST_USE enum err outside_pam(const char *service, const char *user, const char *password,
                              const char *address, struct fault *why);
MUST_USE enum err outside_ldap(const struct ldapopt *o, const char *user, const char *password,
                               struct fault *why);
