/* Lists of names, and the "options" that stand for more parameters. */
#include "client/parameters.h"

#include <string.h>
#include <strings.h>

#include "pgwire/startup.h"

typedef int compare_fn(const char *a, const char *b, size_t len);

static bool is_listed(const char *list, const char *name, compare_fn *compare)
{
    size_t len = strlen(name);
    for (const char *p = list; *p != '\0';) {
        p += strspn(p, ", \t");
        size_t word = strcspn(p, ", \t");
        if (word == len && compare(p, name, len) == 0) { return true; }
        p += word;
    }
    return false;
}

bool parameter_is_listed(const char *list, const char *name)
{
    return is_listed(list, name, strncasecmp);
}

bool user_is_listed(const char *list, const char *user)
{
    return is_listed(list, user, strncmp);
}

enum err parameter_check(const struct options *o, const char *name, const char *where,
                         struct fault *why)
{
    static const char always[] =
        "application_name,client_encoding,datestyle,timezone,standard_conforming_strings";
    if (o->pgbouncer_compat != COMPAT_STRICT || parameter_is_listed(always, name) ||
        parameter_is_listed(o->track_extra_parameters, name)) {
        return E_OK;
    }
    return fault_state(why, E_REFUSED, "08P01", "unsupported startup parameter%s: %s", where, name);
}

enum err parameters_take_options(struct varset_edit *edit, const char *options,
                                 const struct options *o, struct fault *why)
{
    struct buf text = {0};
    size_t at = 0;
    const char *name, *value;
    enum err e;
    while ((e = startup_option(options, &at, &text, &name, &value)) == E_OK) {
        if (parameter_is_listed(o->ignore_startup_parameters, name)) { continue; }
        e = parameter_check(o, name, " in options", why);
        if (e != E_OK) { break; }
        varset_edit_set(edit, name, value);
    }
    buf_done(&text);
    if (e == E_REFUSED) { return e; }
    if (e != E_EOF) {
        e = fault_state(why, E_REFUSED, "0A000", "unsupported startup parameter in options: %s",
                        options);
        fault_hint(why,
                   "Only -c name=value and --name=value can be carried by a pooled connection.");
        return e;
    }
    return E_OK;
}
