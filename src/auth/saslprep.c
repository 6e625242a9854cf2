/* The profile itself is libidn's; what PostgreSQL makes of its refusals is here. */
#include "auth/saslprep.h"

#include <stdlib.h>
#include <stringprep.h>

#include "base/mem.h"

static bool is_ascii(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 0x80) { return false; }
    }
    return true;
}

char *saslprep(struct bytes password)
{
    if (is_ascii(password)) { return NULL; }
    char *text = mem_strndup((const char *)password.ptr, password.len), *out = NULL;
    int rc = stringprep_profile(text, &out, "SASLprep", STRINGPREP_NO_UNASSIGNED);
    char *prepared = NULL;
    if (rc == STRINGPREP_OK && out[0] != '\0') { prepared = mem_strdup(out); }
    if (out != NULL) { mem_wipe(out, strlen(out)); }
    free(out); /* libidn's, by malloc */
    mem_wipe(text, password.len);
    mem_free(&text);
    return prepared;
}
