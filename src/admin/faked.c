/* A table of questions with their answers, and the commands that change next to nothing. */
#include "admin/faked.h"

#include <stdio.h>

#include "admin/portal.h"
#include "pgwire/compose.h"
#include "settings/varset.h"

/* ---- questions ------------------------------------------------------------------------------- */

struct question {
    const char *words; /* after SHOW or SELECT, in lower case, one blank between them */
    bool select;
    struct column column;
    const char *value;
    const char *(*ask)(const struct session *s); /* where value is NULL */
};

static const char *ask_user(const struct session *s)
{
    return s->client->console_user;
}

static const char *ask_application_name(const struct session *s)
{
    const char *name = varset_get(s->client->wanted, "application_name");
    return name == NULL ? "" : name;
}

#define TEXT(name)                                                                                 \
    {                                                                                              \
        name, COLUMN_TEXT                                                                          \
    }
static const char version[] = "PgBouncer 1.25.2 (pgusher " PGUSHER_VERSION ")";
static const struct question questions[] = {
    {"client_encoding", false, TEXT("client_encoding"), "UTF8", NULL},
    {"default_transaction_isolation", false, TEXT("default_transaction_isolation"),
     "read committed", NULL},
    {"default_transaction_read_only", false, TEXT("default_transaction_read_only"), "off", NULL},
    {"transaction_isolation", false, TEXT("transaction_isolation"), "read committed", NULL},
    {"transaction isolation level", false, TEXT("transaction_isolation"), "read committed", NULL},
    {"transaction_read_only", false, TEXT("transaction_read_only"), "off", NULL},
    {"standard_conforming_strings", false, TEXT("standard_conforming_strings"), "on", NULL},
    {"datestyle", false, TEXT("DateStyle"), "ISO", NULL},
    {"timezone", false, TEXT("TimeZone"), "GMT", NULL},
    {"time zone", false, TEXT("TimeZone"), "GMT", NULL},
    {"extra_float_digits", false, TEXT("extra_float_digits"), "2", NULL},
    {"application_name", false, TEXT("application_name"), NULL, ask_application_name},
    {"1", true, {"?column?", COLUMN_INT4}, "1", NULL},
    {"version()", true, TEXT("version"), version, NULL},
    {"pg_catalog.version()", true, TEXT("version"), version, NULL},
    {"current_database()", true, TEXT("current_database"), "pgbouncer", NULL},
    {"current_catalog", true, TEXT("current_catalog"), "pgbouncer", NULL},
    {"current_user", true, TEXT("current_user"), NULL, ask_user},
    {"session_user", true, TEXT("session_user"), NULL, ask_user},
};

/* Do the command's words from the second on say this, in any case? */
static bool says(const struct command *c, const char *words)
{
    char word[64];
    unsigned i = 1;
    for (const char *p = words; *p != '\0'; i++) {
        int len = 0;
        if (sscanf(p, "%63s%n", word, &len) != 1 || !command_is(c, i, word)) { return false; }
        p += len;
    }
    return i == c->count;
}

static const struct question *find_question(const struct command *c)
{
    bool select = command_is(c, 0, "SELECT");
    if (!select && !command_is(c, 0, "SHOW")) { return NULL; }
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        const struct question *q = &questions[i];
        if (q->select == select && says(c, q->words)) { return q; }
    }
    return NULL;
}

const struct column *faked_column(const struct command *c)
{
    const struct question *q = find_question(c);
    return q == NULL ? NULL : &q->column;
}

static void answer(struct session *s, const struct question *q)
{
    const char *value = q->ask == NULL ? q->value : q->ask(s);
    session_describe(s, &q->column, 1);
    compose_data_row(session_rows(s), &value, 1);
    session_complete(s, q->select ? "SELECT 1" : "SHOW");
}

/* ---- SET ------------------------------------------------------------------------------------- */

/* The word that names the setting: SET [SESSION | LOCAL] name ... */
static unsigned name_of_set(const struct command *c)
{
    return command_is(c, 1, "SESSION") || command_is(c, 1, "LOCAL") ? 2 : 1;
}

static bool is_ignored_set(const struct command *c)
{
    static const char *const names[] = {
        "client_encoding",
        "default_transaction_isolation",
        "default_transaction_read_only",
        "datestyle",
        "standard_conforming_strings",
        "timezone",
        "time",
        "extra_float_digits",
        "characteristics",
        "transaction",
    };
    if (!command_is(c, 0, "SET")) { return false; }
    if (command_is(c, 1, "SESSION") && command_is(c, 2, "AUTHORIZATION")) {
        return c->count == 4 && command_is(c, 3, "DEFAULT");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (c->count > 2 && command_is(c, name_of_set(c), names[i])) { return true; }
    }
    return false;
}

/* What a console session has of its own: kept among the client's settings. */
static bool set_own(struct session *s, const struct command *c)
{
    unsigned at = name_of_set(c);
    bool sign =
        at + 3 == c->count && (c->words[at + 1].kind == WORD_EQUALS || command_is(c, at + 1, "TO"));
    bool name = command_is(c, at, "application_name");
    bool layout = command_is(c, at, "pgusher.console_layout");
    if (!command_is(c, 0, "SET") || (!name && !layout) || !sign) { return false; }
    const char *value = command_value(c, at + 2);
    if (layout && (value == NULL || (strcmp(value, "1.7") != 0 && strcmp(value, "1.25") != 0))) {
        session_error(s, "22023", "pgusher.console_layout: expected 1.7 or 1.25");
        return true;
    }
    struct client *client = s->client;
    struct varset_edit edit;
    varset_edit_begin(&edit, client->wanted);
    varset_edit_set(&edit, command_name(c, at), value);
    varset_unref(&client->wanted);
    client->wanted = varset_edit_end(&edit);
    session_complete(s, "SET");
    return true;
}

/* ---- transaction blocks: only the status that the client is told ----------------------------- */

static bool begin(struct session *s, const struct command *c)
{
    bool start = command_is(c, 0, "START") && command_is(c, 1, "TRANSACTION");
    if (!start && !command_is(c, 0, "BEGIN")) { return false; }
    s->client->status = 'T';
    session_complete(s, start ? "START TRANSACTION" : "BEGIN");
    return true;
}

static bool end(struct session *s, const struct command *c)
{
    bool commit = command_is(c, 0, "COMMIT") || command_is(c, 0, "END");
    if ((!commit && !command_is(c, 0, "ROLLBACK") && !command_is(c, 0, "ABORT")) || c->count > 2) {
        return false;
    }
    s->client->status = 'I';
    session_complete(s, commit ? "COMMIT" : "ROLLBACK");
    return true;
}

/* ---- what pools of drivers say between two users --------------------------------------------- */

static bool tidy_up(struct session *s, const struct command *c)
{
    if (c->count != 2) { return false; }
    if (command_is(c, 0, "DISCARD") && command_is(c, 1, "ALL")) {
        (void)portal_deallocate(s, NULL);
        session_complete(s, "DISCARD ALL");
    } else if (command_is(c, 0, "RESET")) {
        session_complete(s, "RESET");
    } else if (command_is(c, 0, "DEALLOCATE") && command_name(c, 1) != NULL) {
        bool all = command_is(c, 1, "ALL");
        if (portal_deallocate(s, all ? NULL : command_name(c, 1))) {
            session_complete(s, all ? "DEALLOCATE ALL" : "DEALLOCATE");
        } else {
            session_error(s, "26000", "prepared statement \"%s\" does not exist",
                          command_name(c, 1));
        }
    } else {
        return false;
    }
    return true;
}

bool faked_run(struct session *s, const struct command *c)
{
    const struct question *q = find_question(c);
    if (q != NULL) {
        answer(s, q);
        return true;
    }
    if (is_ignored_set(c)) {
        compose_notice(session_out(s), "NOTICE", "00000", "SET ignored", NULL, NULL);
        session_complete(s, "SET");
        return true;
    }
    return set_own(s, c) || begin(s, c) || end(s, c) || tidy_up(s, c);
}
