/* Any bytes as a client's text: an answer, with a reason when it is no. */
#include <assert.h>

#include "config/load.h"
#include "settings/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *no_value(void *arg, int n)
{
    (void)arg;
    return n % 2 == 0 ? "app.x" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *cfg = NULL;
    enum err e = config_parse(BYTES("[settings]\napp.x=%{tag:id}\n"), "fuzz.ini", &cfg, NULL);
    assert(e == E_OK);
    struct identity *id = identity_compile(cfg, "d", "u");
    struct bytes text = bytes_of(data, size);
    for (size_t max = 0; max <= size; max += size + (size == 0)) {
        struct statement *s = query_parse(text, max);
        struct fault why = {0};
        e = identity_guard(id, s, text, no_value, NULL, &why);
        assert(e == E_OK || why.text[0] != '\0');
        statement_unref(&s);
    }
    struct varset_edit edit;
    varset_edit_begin(&edit, varset_empty());
    e = identity_apply(id, &(struct identity_sources){.text = text}, &edit, NULL);
    assert(e == E_OK);
    varset_edit_drop(&edit);
    identity_unref(&id);
    config_unref(&cfg);
    return 0;
}
