/* Any bytes as an ini: a configuration or a fault with a text, never more. */
#include <assert.h>

#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *cfg = NULL, *next = NULL;
    struct fault why = {0};
    enum err e = config_parse(bytes_of(data, size), "fuzz.ini", &cfg, &why);
    assert((e == E_OK) == (cfg != NULL));
    assert(e == E_OK || why.text[0] != '\0');
    if (cfg == NULL) { return 0; }
    struct config_row row;
    for (size_t i = 0; config_row(cfg, i, &row); i++) { assert(row.value != NULL); }
    const char *line = NULL;
    for (size_t i = 0; (line = config_unsupported(cfg, i)) != NULL; i++) { assert(*line != '\0'); }
    if (config_set(cfg, "server_check_query", "x", &next, &why) == E_OK) { config_unref(&cfg); }
    config_unref(&next);
    config_unref(&cfg);
    return 0;
}
