/* Settings that are special to pgusher, by name. */
#include "query/guc.h"

#include <stddef.h>
#include <ctype.h>
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

/* How literals are read, what names mean, and which rules rewrite. */
bool guc_changes_analysis(const char *name)
{
    static const char *const names[] = {
        "array_nulls",
        "client_encoding",
        "datestyle",
        "intervalstyle",
        "lc_monetary",
        "search_path",
        "session_replication_role",
        "standard_conforming_strings",
        "timezone",
        "timezone_abbreviations",
        "transform_null_equals",
        "xmloption",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) { return true; }
    }
    return false;
}

/* As PostgreSQL compares them: letters and digits only, in lower case. */
bool guc_encoding_is_odd(const char *name)
{
    static const char *const odd[] = {
        "big5",         "gb18030",    "gbk",        "johab",      "mskanji",    "shiftjis",
        "shiftjis2004", "sjis",       "uhc",        "win932",     "win936",     "win949",
        "win950",       "windows932", "windows936", "windows949", "windows950",
    };
    char plain[16];
    size_t len = 0;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name)) { continue; }
        if (len + 1 == sizeof plain) { return false; } /* longer than any of them */
        plain[len++] = (char)tolower((unsigned char)*name);
    }
    plain[len] = '\0';
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (strcmp(plain, odd[i]) == 0) { return true; }
    }
    return false;
}
