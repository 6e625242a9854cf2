/* Comparing without regard to the case of ASCII letters, as PostgreSQL does. */
#include "query/words.h"

static inline bool is_letter(uint8_t c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

bool word_is(struct bytes text, const char *word)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 'A' && c <= 'Z') { c |= 0x20; }
        if (word[i] == '\0' || c != (uint8_t)word[i]) { return false; }
    }
    return word[text.len] == '\0';
}

bool word_moves_in_time(struct bytes text)
{
    for (size_t i = 0; i < text.len;) {
        if (!is_letter(text.ptr[i])) {
            i++;
            continue;
        }
        size_t start = i;
        while (i < text.len && is_letter(text.ptr[i])) { i++; }
        struct bytes word = bytes_of(text.ptr + start, i - start);
        switch (word.len) {
        case 3:
            if (word_is(word, "now")) { return true; }
            break;
        case 5:
            if (word_is(word, "today")) { return true; }
            break;
        case 8:
            if (word_is(word, "tomorrow")) { return true; }
            break;
        case 9:
            if (word_is(word, "yesterday")) { return true; }
            break;
        default: break;
        }
    }
    return false;
}
