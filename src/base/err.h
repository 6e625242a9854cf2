/*
 * The one error idiom: what can fail returns `enum err`, results come back through ret_ pointers,
 * untouched on failure. pgwire/sqlstate.c maps each code to an SQLSTATE.
 */
#pragma once

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
/* Seldom called: the compiler moves the paths that lead there out of the way of the others. */
#define COLD __attribute__((cold))

enum err {
    E_OK = 0,
    E_AGAIN,    /* not now: more bytes, a lock or an event is needed; call again */
    E_EOF,      /* the peer closed */
    E_IO,       /* a system call on a socket or file failed */
    E_PROTOCOL, /* bytes that the protocol does not allow */
    E_LIMIT,    /* a configured limit was met */
    E_NOMEM,    /* no memory for a size that came from outside */
    E_NOTFOUND, /* no such database, user, statement, entry */
    E_EXISTS,   /* the name is taken */
    E_AUTH,     /* a password or proof was wrong */
    E_DENIED,   /* not allowed for this user, or a protected setting */
    E_CONFIG,   /* the configuration is wrong */
    E_SYNTAX,   /* text that cannot be parsed */
    E_TIMEOUT,  /* a deadline passed */
    E_CANCELED, /* the client asked for it */
    E_SHUTDOWN, /* pgusher is stopping */
    E_LOST,     /* the server connection went away */
    E_REFUSED,  /* understood, but not supported in this mode */
    E_SERVER,   /* the server answered with an error of its own */
};

/* The code's name in lower case, for logs: "protocol", "limit", ... Static text. */
const char *err_name(enum err e);
