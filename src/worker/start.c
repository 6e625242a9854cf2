/* Sockets are bound with the rights the process was started with; all else is done, and every file
 * opened, as the user it becomes: what works at the start then also works at a reload. */
#include "worker/start.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "worker/detach.h"
#include "worker/privileges.h"

enum err start_detach(struct start *s, const struct config *cfg, const struct launch *how,
                      struct fault *why)
{
    if (!how->daemon) { return E_OK; }
    if (cfg->o.logfile[0] == '\0' && !cfg->o.syslog) {
        return fault_set(why, E_CONFIG, "-d needs a logfile or syslog: where would the log go?");
    }
    return detach_begin(&s->ready, why);
}

static enum err take_pidfile(struct start *s, const struct options *o, bool take_over,
                             struct fault *why)
{
    enum err e = pidfile_take(o->pidfile, take_over, &s->pidfile, why);
    return e == E_OK ? pidfile_write(&s->pidfile, why) : e;
}

static enum err listen_unix(struct start *s, const struct options *o, struct fault *why)
{
    const struct unix_door door = {
        .dir = o->unix_socket_dir,
        .port = o->listen_port,
        .mode = o->unix_socket_mode,
        .backlog = o->listen_backlog,
        .group = o->unix_socket_group,
        .take_over = s->pidfile.replaced > 0,
    };
    return socket_listen_unix(&s->listeners, &door, &s->unix_file, why);
}

static enum err listen_all(struct start *s, const struct options *o, bool take_over,
                           struct fault *why)
{
    enum err e = take_over ? E_OK : take_pidfile(s, o, false, why);
    if (e == E_OK) { e = socket_inherit(&s->listeners, why); }
    s->inherited = s->listeners.count > 0;
    if (e == E_OK && !s->inherited) {
        e = socket_listen_tcp(&s->listeners, o->listen_addr, o->listen_port, o->listen_backlog,
                              o->so_reuseport, why);
    }
    /* Whom we take over from keeps its pidfile until we have the port too. */
    if (e == E_OK && take_over) { e = take_pidfile(s, o, true, why); }
    if (e == E_OK && !s->inherited) { e = listen_unix(s, o, why); }
    if (e == E_OK && s->listeners.count == 0) {
        e = fault_set(why, E_CONFIG,
                      "nothing to listen on: listen_addr and unix_socket_dir are empty");
    }
    return e;
}

enum err start_listen(struct start *s, const struct config *cfg, const struct launch *how,
                      struct fault *why)
{
    const struct options *o = &cfg->o;
    if (how->reboot && o->pidfile[0] == '\0') {
        return fault_set(why, E_CONFIG, "-R needs a pidfile: whom would it take over from?");
    }
    enum err e = listen_all(s, o, how->reboot, why);
    if (e == E_OK) { e = privileges_drop(how->user != NULL ? how->user : o->user, why); }
    if (e == E_OK && privileges_are_roots()) {
        log_warn(NULL, "event=runs_as_root hint=\"option user, or -u, names whom to become\"");
    }
    return e;
}

void start_ready(struct start *s)
{
    if (s->pidfile.replaced > 0) {
        int rc = kill(s->pidfile.replaced, SIGTERM);
        log_info(NULL, "event=taken_over pid=%d next=\"%s\"", (int)s->pidfile.replaced,
                 rc == 0 ? "it drains" : strerror(errno));
    }
    if (s->ready >= 0) { detach_ready(s->ready); }
    s->ready = -1;
}

void start_done(struct start *s)
{
    listeners_close(&s->listeners);
    socket_unlink_unix(&s->unix_file);
    pidfile_drop(&s->pidfile);
}
