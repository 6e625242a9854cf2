/* The settings whose value is a list of identifiers. */
#include "query/guc.h"

#include <stddef.h>
#include <string.h>

bool guc_quotes_its_items(const char *name)
{
    static const char *const names[] = {
        "search_path",
        "temp_tablespaces",
        "local_preload_libraries",
        "session_preload_libraries",
        "shared_preload_libraries",
        "unix_socket_directories",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) { return true; }
    }
    return false;
}
