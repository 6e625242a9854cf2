/* Identity: startup parameters and [settings] rows put together. */
#include "client/caller.h"

struct identity_sources caller_sources(const struct client *c)
{
    return (struct identity_sources){
        .user = c->account->user,
        .database = c->account->database->name,
        .client_addr = c->unix_socket ? NULL : c->address,
        .client_port = c->unix_socket ? 0 : c->port,
        .tls_cn = tls_peer_name(stream_tls(&c->stream)),
        .application_name = varset_get(c->given, "application_name"),
        .startup = c->given,
    };
}

/* What was given, without the names that rows set. */
static const struct varset *open_part(const struct client *c)
{
    const struct identity *id = c->account->identity;
    struct varset_edit edit;
    varset_edit_begin(&edit, c->given);
    for (size_t i = 0; i < varset_count(c->given) && id != NULL; i++) {
        const char *name = varset_at(c->given, i)->name;
        if (identity_protects(id, name)) { varset_edit_remove(&edit, name); }
    }
    return varset_edit_end(&edit);
}

/* A protected name may be given only where a row reads it. */
static enum err check_given(const struct client *c, struct fault *why)
{
    const struct identity *id = c->account->identity;
    for (size_t i = 0; i < varset_count(c->given) && id != NULL; i++) {
        const char *name = varset_at(c->given, i)->name;
        if (!identity_protects(id, name) || identity_reads_startup(id, name)) { continue; }
        (void)fault_state(why, E_DENIED, "42501", "permission denied to set parameter \"%s\"",
                          name);
        fault_hint(why, "pgusher sets it from who you are.");
        return E_DENIED;
    }
    return E_OK;
}

/* In the base, not in the startup settings: those are tried on a server once, not by each client.
 */
static void name_host(const struct client *c, struct varset_edit *base)
{
    const char *given = varset_edit_get(base, "application_name");
    struct buf name = {0};
    buf_printf(&name, "%s - %s:%d", given == NULL ? "app" : given, c->address, c->port);
    varset_edit_set(base, "application_name", buf_text(&name));
    buf_done(&name);
}

static enum err make_base(const struct client *c, const struct varset *startup,
                          const struct varset **ret_base, struct fault *why)
{
    struct varset_edit edit;
    varset_edit_begin(&edit, startup);
    if (c->front->config->o.application_name_add_host) { name_host(c, &edit); }
    const struct identity_sources from = caller_sources(c);
    const struct identity *id = c->account->identity;
    enum err e = id == NULL ? E_OK : identity_apply(id, &from, &edit, why);
    if (e != E_OK) {
        varset_edit_drop(&edit);
        return e;
    }
    *ret_base = varset_edit_end(&edit);
    return E_OK;
}

/* Takes the references. */
static void take(struct client *c, const struct varset *startup, const struct varset *base,
                 const struct varset *wanted)
{
    varset_unref(&c->startup);
    varset_unref(&c->base);
    varset_unref(&c->wanted);
    varset_unref(&c->in_tx);
    c->startup = startup;
    c->base = base;
    c->wanted = wanted;
    c->in_tx = varset_ref(wanted);
}

enum err caller_identify(struct client *c, struct fault *why)
{
    enum err e = check_given(c, why);
    if (e != E_OK) { return e; }
    const struct varset *startup = open_part(c), *base = NULL;
    e = make_base(c, startup, &base, why);
    if (e != E_OK) {
        varset_unref(&startup);
        return e;
    }
    take(c, startup, base, varset_ref(base));
    return E_OK;
}

/* DateStyle, given in part, was completed at the login. */
static const struct varset *keep_completed(const struct client *c, const struct varset *startup)
{
    struct varset_edit edit;
    varset_edit_begin(&edit, startup);
    if (varset_get(startup, "datestyle") != NULL) {
        varset_edit_set(&edit, "datestyle", varset_get(c->base, "datestyle"));
    }
    varset_unref(&startup);
    return varset_edit_end(&edit);
}

/* Of the new base, but for what the client itself has set since its start. */
static const struct varset *make_wanted(const struct client *c, const struct varset *base)
{
    const struct identity *id = c->account->identity;
    struct varset_edit edit;
    varset_edit_begin(&edit, base);
    for (size_t i = 0; i < varset_count(c->wanted); i++) {
        const struct varset_item *item = varset_at(c->wanted, i);
        const char *was = varset_get(c->base, item->name);
        bool own = was == NULL || strcmp(was, item->value) != 0;
        if (own && (id == NULL || !identity_protects(id, item->name))) {
            varset_edit_set(&edit, item->name, item->value);
        }
    }
    return varset_edit_end(&edit);
}

enum err caller_identify_again(struct client *c, struct fault *why)
{
    const struct varset *startup = keep_completed(c, open_part(c)), *base = NULL;
    enum err e = make_base(c, startup, &base, why);
    if (e != E_OK) {
        varset_unref(&startup);
        return e;
    }
    take(c, startup, base, make_wanted(c, base));
    return E_OK;
}
