/* A code without an answer here does not compile: the switch has no default. */
#include "pgwire/sqlstate.h"

const char *sqlstate_of(enum err e)
{
    switch (e) {
    case E_OK: return "00000";       /* successful_completion */
    case E_AGAIN: return "XX000";    /* internal_error: nobody should be told "not now" */
    case E_EOF: return "08006";      /* connection_failure */
    case E_IO: return "08006";       /* connection_failure */
    case E_PROTOCOL: return "08P01"; /* protocol_violation */
    case E_LIMIT: return "53300";    /* too_many_connections */
    case E_NOMEM: return "53200";    /* out_of_memory */
    case E_NOTFOUND: return "3D000"; /* invalid_catalog_name */
    case E_EXISTS: return "42710";   /* duplicate_object */
    case E_AUTH: return "28P01";     /* invalid_password */
    case E_DENIED: return "42501";   /* insufficient_privilege */
    case E_CONFIG: return "F0000";   /* config_file_error */
    case E_SYNTAX: return "42601";   /* syntax_error */
    case E_TIMEOUT: return "57014";  /* query_canceled */
    case E_CANCELED: return "57014"; /* query_canceled */
    case E_SHUTDOWN: return "57P01"; /* admin_shutdown */
    case E_LOST: return "08006";     /* connection_failure */
    case E_REFUSED: return "0A000";  /* feature_not_supported */
    case E_SERVER: return "XX000"; /* internal_error: the server's own state is passed on instead */
    }
    return "XX000";
}
