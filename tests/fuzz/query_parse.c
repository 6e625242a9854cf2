/* Any bytes are found to be something, by way of the memo too, and both agree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/query/told.h"
#include "query/memo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memo *memo;
    if (memo == NULL) { memo = memo_new(50, 200000, 65536, NULL); }
    struct bytes text = bytes_of(data, size);
    struct statement *parsed = query_parse(text, 65536);
    char *expected = tell_statement(parsed);
    char *told = tell_statement(memo_find(memo, text)->statement);
    if (strcmp(expected, told) != 0) { abort(); }
    /* Facts about writing never sit beside the claim that nothing is written. */
    bool reads_only = (parsed->flags & STMT_READS_ONLY) != 0;
    if (reads_only && (parsed->writes_count > 0 || (parsed->flags & STMT_LOCKS_ROWS) != 0)) {
        abort();
    }
    statement_unref(&parsed);
    free(expected);
    free(told);
    return 0;
}
