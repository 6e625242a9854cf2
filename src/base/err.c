/* Names of the error codes, for logs. */
#include "base/err.h"

const char *err_name(enum err e)
{
    switch (e) {
    case E_OK: return "ok";
    case E_AGAIN: return "again";
    case E_EOF: return "eof";
    case E_IO: return "io";
    case E_PROTOCOL: return "protocol";
    case E_LIMIT: return "limit";
    case E_NOMEM: return "nomem";
    case E_NOTFOUND: return "notfound";
    case E_EXISTS: return "exists";
    case E_AUTH: return "auth";
    case E_DENIED: return "denied";
    case E_CONFIG: return "config";
    case E_SYNTAX: return "syntax";
    case E_TIMEOUT: return "timeout";
    case E_CANCELED: return "canceled";
    case E_SHUTDOWN: return "shutdown";
    case E_LOST: return "lost";
    case E_REFUSED: return "refused";
    case E_SERVER: return "server";
    }
    return "unknown";
}
