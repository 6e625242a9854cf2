/*
 * What Redis may answer as a value: sealed bytes of any kind, authentic bytes of a strange form,
 * versions, epochs, INFO; and redis_url. The first byte chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/address.h"
#include "cache/answer.h"
#include "cache/cache.h"

static const uint64_t stamps[] = {1, 2};
static const uint32_t deps[] = {3};

static void check_entry(const struct seal *s, const struct claim *c, struct bytes sealed)
{
    struct cache_entry *e = NULL;
    if (answer_entry(s, c, sealed, 1000, &e) != E_OK) { return; }
    struct bytes rows = cache_entry_bytes(e);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < rows.len; i++) { sum = (uint8_t)(sum + rows.ptr[i]); }
    cache_entry_unref(&e);
}

/* Bytes that carry our seal: whatever the reader is given then is what it has to cope with. */
static void check_authentic(const struct seal *s, const struct claim *c, struct bytes in)
{
    uint8_t *box = mem_try(in.len + SEAL_OVERHEAD);
    if (box == NULL || seal_close_over(s, c->mac, in, BYTES(""), box) != E_OK) { abort(); }
    check_entry(s, c, bytes_of(box, in.len + SEAL_OVERHEAD));
    mem_free(&box);
}

static void check_url(struct bytes in)
{
    struct redis_address *a = NULL;
    char *url = mem_strndup((const char *)in.ptr, in.len);
    if (redis_address_read(url, &a, NULL) == E_OK) { redis_address_free(&a); }
    mem_free(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seal *seal;
    if (seal == NULL && seal_open("", &seal, NULL) != E_OK) { abort(); }
    if (size == 0) { return 0; }
    struct claim c = {.database_id = 1,
                      .deps = deps,
                      .stamps = stamps,
                      .deps_count = 1,
                      .stamps_count = 2,
                      .ttl_us = 1000};
    struct bytes in = bytes_of(data + 1, size - 1);
    uint8_t epoch[EPOCH_BYTES];
    char run_id[RUN_ID_MAX + 1] = "";
    uint64_t version = 0;
    enum err e = E_OK;
    switch (data[0] % 6) {
    case 0: check_entry(seal, &c, in); break;
    case 1: check_authentic(seal, &c, in); break;
    case 2:
        e = answer_version(in, &version);
        if (e == E_OK && version > INT64_MAX) { abort(); }
        break;
    case 3:
        e = answer_epoch_text(in, "0123456789abcdef", epoch);
        if ((e == E_OK) != (in.len == 2 * EPOCH_BYTES + 17 && in.ptr[2 * EPOCH_BYTES] == ':' &&
                            memcmp(in.ptr + in.len - 16, "0123456789abcdef", 16) == 0 &&
                            strspn((const char *)in.ptr, "0123456789abcdef") == 2 * EPOCH_BYTES)) {
            abort();
        }
        break;
    case 4:
        e = answer_run_id(in, run_id);
        if (strlen(run_id) > RUN_ID_MAX || (e == E_OK) != (run_id[0] != '\0')) { abort(); }
        break;
    default: check_url(in); break;
    }
    return 0;
}
