/* dlopen(), and all symbols or none. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

#include "base/mem.h"

_Static_assert(sizeof(void (*)(void)) == sizeof(void *), "dlsym() can find functions");

enum err library_load(const char *file, const char *const *names, size_t count, void *calls,
                      struct fault *why)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) { return fault_set(why, E_CONFIG, "%s", dlerror()); }
    void **found = mem_array(void *, count);
    enum err e = E_OK;
    for (size_t i = 0; e == E_OK && i < count; i++) {
        found[i] = dlsym(library, names[i]);
        if (found[i] == NULL) { e = fault_set(why, E_CONFIG, "%s", dlerror()); }
    }
    if (e == E_OK) { memcpy(calls, found, count * sizeof *found); }
    mem_free(&found);
    return e;
}
