/* Reads the bytes as an auth_file; a list that was accepted has no user without a name. */
#include <assert.h>

#include "auth/userlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct userlist *list = NULL;
    struct fault why = {0};
    enum err e = userlist_parse(bytes_of(data, size), "file", &list, &why);
    if (e == E_OK) {
        assert(userlist_find(list, "") == NULL);
        const struct user_secret *ann = userlist_find(list, "ann");
        assert(ann == NULL || (strcmp(ann->user, "ann") == 0 && ann->text != NULL));
        userlist_unref(&list);
    } else {
        assert(e == E_CONFIG && strncmp(why.text, "file:", 5) == 0);
    }
    assert(list == NULL);
    return 0;
}
