/* Bodies of functions come from whoever may create functions. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "catalog/function.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    const struct function_source source = {
        .name = "f", .language = "plpgsql", .extension = "", .volatility = 'v', .text = text};
    struct body b = function_body(&source);
    const char *end = text + strlen(text);
    struct words words = words_of(text);
    struct word w;
    while (function_next_word(&words, &w)) {
        assert(words.at <= end && w.text[0] != '\0' && strlen(w.text) < sizeof w.text);
        if (strcmp(w.text, "set_config") == 0) { assert(b.taints); }
        if (strcmp(w.text, "insert") == 0) { assert(b.writes); }
    }
    assert(words.at == end);
    mem_free(&text);
    return 0;
}
