/* The list of calls, as names. */
#include "net/pq.h"

#include "base/library.h"

#define PQ_NAME(name) "PQ" #name,
static const char *const names[] = {PQ_CALLS(PQ_NAME)};

struct pq pq;
_Static_assert(sizeof pq == sizeof names, "a pointer for each name");

enum err pq_load(struct fault *why)
{
    if (pq.status != NULL) { return E_OK; }
    return library_load(PQ_LIBRARY, names, sizeof names / sizeof names[0], &pq, why);
}
