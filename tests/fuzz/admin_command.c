/* Any bytes as a console command: words of the text, or a reason. */
#include <assert.h>

#include "admin/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena memory = {0};
    struct command c;
    struct fault why = {0};
    enum err e = command_parse(bytes_of(data, size), &memory, &c, &why);
    assert(e == E_OK || (e == E_SYNTAX && why.text[0] != '\0'));
    if (e == E_OK) {
        size_t all = 0;
        assert(c.count <= COMMAND_WORDS);
        for (unsigned i = 0; i < c.count; i++) {
            const struct word *w = &c.words[i];
            size_t len = strlen(w->text);
            assert(len > 0 || w->kind == WORD_STRING);
            assert((command_value(&c, i) == NULL) == (w->kind == WORD_EQUALS));
            assert(w->kind == WORD_BARE || !command_is(&c, i, w->text));
            assert(w->kind != WORD_STRING || command_name(&c, i) == NULL);
            all += len;
        }
        assert(all <= size && command_value(&c, c.count) == NULL);
        const char *values[COMMAND_WORDS];
        for (unsigned i = 0; i < COMMAND_WORDS; i++) { values[i] = "value"; }
        assert(command_parameters(&c) <= COMMAND_WORDS);
        struct command bound = command_bind(&c, values);
        for (unsigned i = 0; i < c.count; i++) {
            assert(c.words[i].kind != WORD_PARAMETER || bound.words[i].text[0] == 'v');
        }
    }
    arena_done(&memory);
    return 0;
}
