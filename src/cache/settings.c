/* The cache's part of the configuration. */
#include "base/mem.h"
#include "base/siphash.h"
#include "cache/inside.h"

#define TIMEOUT_MIN_US 1000 /* the loop's timers count milliseconds */

static void put_text(struct buf *b, const char *text)
{
    struct bytes bytes = bytes_str(text);
    buf_put_u32(b, (uint32_t)bytes.len);
    buf_put_bytes(b, bytes);
}

/*
 * Equal for equal rules in every process, so the key of the hash is fixed. The ttl is left out: it
 * is compared with an entry's age on every hit, so a new one holds for stored entries too.
 */
static uint64_t print_rules(const struct config *cfg)
{
    struct buf b = {0};
    buf_put_u32(&b, (uint32_t)cfg->rules_count);
    for (size_t i = 0; i < cfg->rules_count; i++) {
        const struct rule_config *r = &cfg->rules[i];
        buf_put_u8(&b, (uint8_t)r->mode);
        buf_put_u8(&b, (uint8_t)r->rls);
        buf_put_u8(&b, r->empty_results ? 1 : 0);
        put_text(&b, r->scope);
        buf_put_u32(&b, (uint32_t)r->tables_count);
        for (size_t t = 0; t < r->tables_count; t++) { put_text(&b, r->tables[t]); }
    }
    uint64_t print = siphash((struct sipkey){0x7067757368657220, 0x72756c6573000001}, buf_view(&b));
    buf_done(&b);
    return print;
}

static bool wants_redis(const struct config *cfg)
{
    bool wants = cfg->o.cache == CACHE_REDIS;
    for (size_t i = 0; i < cfg->databases_count; i++) {
        wants = wants || cfg->databases[i].cache == CACHE_REDIS;
    }
    return wants;
}

enum err settings_new(const struct config *cfg, struct settings **ret, struct fault *why)
{
    struct settings *s = mem_new(struct settings);
    if (wants_redis(cfg)) {
        enum err e = redis_address_read(cfg->o.redis_url, &s->redis, why);
        if (e != E_OK) {
            settings_free(&s);
            return e;
        }
    }
    s->redis_timeout_us = cfg->o.redis_timeout_us;
    if (s->redis_timeout_us < TIMEOUT_MIN_US) { s->redis_timeout_us = TIMEOUT_MIN_US; }
    s->memory_bytes = cfg->o.cache_memory_bytes;
    s->max_entry_bytes = cfg->o.cache_max_entry_bytes;
    if (s->max_entry_bytes > ENTRY_MAX) { s->max_entry_bytes = ENTRY_MAX; }
    s->rules_print = print_rules(cfg);
    s->rules_count = cfg->rules_count;
    s->rules = mem_array(struct settings_rule, cfg->rules_count);
    for (size_t i = 0; i < cfg->rules_count; i++) {
        s->rules[i] = (struct settings_rule){cfg->rules[i].ttl_us, cfg->rules[i].mode};
    }
    *ret = s;
    return E_OK;
}

void settings_free(struct settings **s)
{
    if (*s == NULL) { return; }
    redis_address_free(&(*s)->redis);
    mem_free(&(*s)->rules);
    mem_free(s);
}
