/* RELOAD, SET, SUSPEND, SHUTDOWN: asked of the control thread, whose answer comes by letter. */
#include "admin/process.h"

#include "admin/control.h"
#include "admin/roll.h"
#include "base/log.h"
#include "base/mem.h"

struct note { /* a hook's answer finds its way home by this */
    struct front *front;
    uint32_t session_id;
    char *tag;
    bool reload;
};

static void on_hook_done(void *arg, const struct fault *why)
{
    struct note *n = arg;
    struct office *o = n->front->office;
    struct session *s = o == NULL ? NULL : session_find(o, n->session_id);
    if (s != NULL) { s->wait = SESSION_ACTS; }
    if (s != NULL && why == NULL) {
        session_complete(s, n->tag);
    } else if (s != NULL && n->reload) {
        struct fault told;
        (void)fault_state(&told, E_CONFIG, "F0000",
                          "RELOAD failed, see logs for additional details");
        fault_hint(&told, "%s", why->text);
        session_fault(s, &told);
    } else if (s != NULL && why->sqlstate[0] != '\0') {
        session_fault(s, why);
    } else if (s != NULL) {
        session_error(s, why->code == E_NOTFOUND ? "42704" : "22023", "%s", why->text);
    }
    mem_free(&n->tag);
    mem_free(&n);
}

static struct note *make_note(const struct session *s, char *tag, bool reload)
{
    struct note *n = mem_new(struct note);
    n->front = s->office->front;
    n->session_id = s->id;
    n->tag = tag;
    n->reload = reload;
    return n;
}

static void run_reload(struct session *s)
{
    struct office *o = s->office;
    control_log(s, "RELOAD", NULL);
    o->hooks.reload(o->hooks.arg, o->front->loop, on_hook_done,
                    make_note(s, mem_strdup("RELOAD"), true));
}

/* Of those that were paused by name. */
static bool any_paused(const struct session *s)
{
    struct database_roll roll = roll_databases(s->office->front->registry);
    bool any = false;
    for (size_t i = 0; i < roll.count; i++) {
        const struct database *db = roll.items[i];
        any = any || (atomic_load(&db->paused) && !atomic_load(&db->retired));
    }
    mem_free(&roll.items);
    return any;
}

static void run_suspend(struct session *s)
{
    struct office *o = s->office;
    if (control_refuse_at_rest(s)) { return; }
    if (any_paused(s)) {
        session_error(s, "55000", "cannot suspend with paused databases");
        return;
    }
    control_log(s, "SUSPEND", NULL);
    s->wait = SESSION_WAITS_SUSPEND;
    o->hooks.suspend(o->hooks.arg, o->front->loop, on_hook_done,
                     make_note(s, mem_strdup("SUSPEND"), false));
}

bool process_is_set(const struct command *c)
{
    bool sign = c->count == 4 && (c->words[2].kind == WORD_EQUALS || command_is(c, 2, "TO"));
    return command_is(c, 0, "SET") && sign && command_name(c, 1) != NULL &&
           command_value(c, 3) != NULL;
}

static void run_set(struct session *s, const struct command *c)
{
    const char *key = command_value(c, 1), *value = command_value(c, 3);
    struct office *o = s->office;
    const struct log_who who = client_who(s->client);
    log_info(&who, "SET %s command issued", key);
    o->hooks.set(o->hooks.arg, o->front->loop, key, value, on_hook_done,
                 make_note(s, mem_printf("SET %s=%s", key, value), false));
}

/* At once: the end of the connection tells that it is done. Else that it has begun. */
static void run_shutdown(struct session *s, enum shutdown_mode mode)
{
    static const char *const names[] = {
        [SHUTDOWN_NOW] = "SHUTDOWN",
        [SHUTDOWN_WAIT_FOR_SERVERS] = "SHUTDOWN WAIT_FOR_SERVERS",
        [SHUTDOWN_WAIT_FOR_CLIENTS] = "SHUTDOWN WAIT_FOR_CLIENTS",
    };
    struct admin_hooks hooks = s->office->hooks;
    control_log(s, names[mode], NULL);
    hooks.shutdown(hooks.arg, mode);
    if (mode != SHUTDOWN_NOW) { session_complete(s, "SHUTDOWN"); }
}

bool process_run(struct session *s, const struct command *c)
{
    if (process_is_set(c)) {
        run_set(s, c);
    } else if (command_is(c, 0, "RELOAD") && c->count == 1) {
        run_reload(s);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 1) {
        run_shutdown(s, SHUTDOWN_NOW);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 2 &&
               command_is(c, 1, "WAIT_FOR_SERVERS")) {
        run_shutdown(s, SHUTDOWN_WAIT_FOR_SERVERS);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 2 &&
               command_is(c, 1, "WAIT_FOR_CLIENTS")) {
        run_shutdown(s, SHUTDOWN_WAIT_FOR_CLIENTS);
    } else if (command_is(c, 0, "SUSPEND") && c->count == 1) {
        run_suspend(s);
    } else {
        return false;
    }
    return true;
}
