/*
 * inih splits lines into names and values; what PgBouncer's ini has beyond inih's is translated in
 * the function that hands inih its lines:
 *   - Sections are followed here and never shown to inih, which cuts their names at 50 bytes.
 *   - inih ends a name at ':' as well as '=', and knows no "quoted" names: names are handed over
 *     percent-encoded and decoded on the way back.
 *   - inih cuts long lines into several: a line that does not fit is an error here.
 *   - inih has no %include, and does not tell its handler the line: both are kept here.
 * Inline comments and indented continuation lines, which PgBouncer does not have, are switched off.
 */
#include "config/dialect.h"

#include <ini.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

enum {
    LONGEST_LINE = 64 * 1024,
    LONGEST_FILE = 64 * 1024 * 1024,
    DEEPEST_INCLUDE = 10,
    /* a name's bytes may triple; " = " and a newline are added */
    INIH_LINE = 3 * LONGEST_LINE + 64,
};

/* One reading, over all files. */
struct reading {
    dialect_take *take;
    void *arg;
    struct fault *why;
    enum err failed;
    struct buf section;
    bool may_include;
    int depth;
};

/* One file of it. */
struct source {
    struct reading *r;
    const char *file;
    struct bytes rest;
    int line;
};

static enum err read_source(struct reading *r, struct bytes text, const char *file);

static void fail(const struct source *s, const char *what)
{
    s->r->failed = fault_set(s->r->why, E_CONFIG, "%s:%d: %s", s->file, s->line, what);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes trim(struct bytes b)
{
    while (b.len > 0 && is_space(b.ptr[0])) { b = bytes_skip(b, 1); }
    while (b.len > 0 && is_space(b.ptr[b.len - 1])) { b.len--; }
    return b;
}

static bool is_plain(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || c == '*' || c == '!';
}

static void put_encoded(struct buf *out, uint8_t c)
{
    if (is_plain(c)) {
        buf_put_u8(out, c);
    } else {
        buf_printf(out, "%%%02x", c);
    }
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Undoes put_encoded in place: only what it made ever gets here. */
static char *decode(char *name)
{
    char *to = name;
    for (const char *from = name; *from != '\0';) {
        if (*from == '%') {
            *to++ = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
            from += 3;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    return name;
}

/* Appends the name at the front of the line, encoded; what is left of the line in *ret. */
static bool take_name(struct bytes line, struct buf *out, struct bytes *ret)
{
    size_t i = 0;
    if (line.ptr[0] == '"') {
        for (i = 1;; i++) {
            if (i == line.len) { return false; }
            if (line.ptr[i] == '"') {
                if (i + 1 == line.len || line.ptr[i + 1] != '"') { break; }
                i++;
            }
            put_encoded(out, line.ptr[i]);
        }
        i++;
        if (i < line.len && line.ptr[i] == '!') { put_encoded(out, line.ptr[i++]); }
    } else {
        for (; i < line.len && line.ptr[i] != '=' && !is_space(line.ptr[i]); i++) {
            put_encoded(out, line.ptr[i]);
        }
    }
    while (i < line.len && is_space(line.ptr[i])) { i++; }
    if (buf_len(out) == 0 || i == line.len || line.ptr[i] != '=') { return false; }
    *ret = bytes_skip(line, i + 1);
    return true;
}

static void include(struct source *s, struct bytes name)
{
    struct reading *r = s->r;
    if (!r->may_include) { return fail(s, "%include is not possible here"); }
    if (name.len == 0) { return fail(s, "%include: expected a file name"); }
    if (r->depth == DEEPEST_INCLUDE) { return fail(s, "%include: too deep, 10 files at most"); }
    char *path = mem_strndup((const char *)name.ptr, name.len);
    struct buf text = {0};
    struct fault reason = {0};
    enum err e = file_read(path, LONGEST_FILE, &text, &reason);
    if (e != E_OK) {
        r->failed = fault_set(r->why, e, "%s:%d: cannot read %s", s->file, s->line, reason.text);
    } else {
        r->depth++;
        r->failed = read_source(r, buf_view(&text), path);
        r->depth--;
    }
    if (text.data != NULL) { mem_wipe(text.data, text.cap); }
    buf_done(&text);
    mem_free(&path);
}

static void start_section(struct source *s, struct bytes line)
{
    if (line.ptr[line.len - 1] != ']' || line.len < 3) {
        return fail(s, "expected a section like [databases]");
    }
    struct bytes name = trim(bytes_of(line.ptr + 1, line.len - 2));
    buf_clear(&s->r->section);
    buf_put_bytes(&s->r->section, name);
}

/* The next line that inih is to split, into out: nothing appended for all others. */
static void translate(struct source *s, struct bytes line, struct buf *out)
{
    if (s->r->failed != E_OK || line.len == 0 || line.ptr[0] == ';' || line.ptr[0] == '#') {
        return;
    }
    if (memchr(line.ptr, '\0', line.len) != NULL) { return fail(s, "a zero byte"); }
    if (line.len > LONGEST_LINE) { return fail(s, "longer than 65536 bytes"); }
    if (line.ptr[0] == '[') { return start_section(s, line); }
    struct bytes word = BYTES("%include");
    if (line.len >= word.len && memcmp(line.ptr, word.ptr, word.len) == 0 &&
        (line.len == word.len || is_space(line.ptr[word.len]))) {
        return include(s, trim(bytes_skip(line, word.len)));
    }
    struct bytes value;
    if (!take_name(line, out, &value)) {
        buf_clear(out);
        return fail(s, "expected name = value");
    }
    if (buf_len(&s->r->section) == 0) {
        buf_clear(out);
        return fail(s, "before the first [section]");
    }
    buf_put(out, "=", 1);
    buf_put_bytes(out, value);
}

/* inih's reader: like fgets, a line at a time; never longer than the room, by INIH_LINE. */
static char *next_line(char *room, int size, void *arg)
{
    struct source *s = arg;
    if (s->r->failed != E_OK || s->rest.len == 0) { return NULL; }
    const uint8_t *newline = memchr(s->rest.ptr, '\n', s->rest.len);
    size_t len = newline == NULL ? s->rest.len : (size_t)(newline - s->rest.ptr);
    struct bytes line = trim(bytes_of(s->rest.ptr, len));
    s->rest = bytes_skip(s->rest, newline == NULL ? len : len + 1);
    s->line++;
    struct buf out = {0};
    translate(s, line, &out);
    size_t n = buf_len(&out);
    if (n + 2 > (size_t)size) {
        fail(s, "line too long");
        n = 0;
    }
    const struct bytes whole = buf_view(&out);
    if (n > 0 && whole.ptr != NULL) { memcpy(room, whole.ptr, n); }
    room[n] = '\n';
    room[n + 1] = '\0';
    if (out.data != NULL) { mem_wipe(out.data, out.cap); }
    buf_done(&out);
    return room;
}

/* inih's handler: its section is always empty, see above. */
static int take_pair(void *arg, const char *section, const char *name, const char *value)
{
    (void)section;
    struct source *s = arg;
    if (s->r->failed != E_OK) { return 0; }
    char *decoded = decode(mem_strdup(name));
    struct dialect_line at = {
        .file = s->file,
        .line = s->line,
        .section = buf_text(&s->r->section),
        .name = decoded,
        .value = value,
    };
    s->r->failed = s->r->take(s->r->arg, &at, s->r->why);
    mem_free(&decoded);
    return s->r->failed == E_OK;
}

static enum err read_source(struct reading *r, struct bytes text, const char *file)
{
    struct bytes bom = BYTES("\xEF\xBB\xBF");
    if (text.len >= bom.len && memcmp(text.ptr, bom.ptr, bom.len) == 0) {
        text = bytes_skip(text, bom.len);
    }
    ini_use_stack = false;
    ini_initial_alloc = INIH_LINE;
    ini_max_line = INIH_LINE;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    ini_stop_on_first_error = true;
    struct source s = {.r = r, .file = file, .rest = text};
    int e = ini_parse_stream(next_line, &s, take_pair, &s);
    if (e != 0 && r->failed == E_OK) { fail(&s, "expected name = value"); }
    return r->failed;
}

enum err dialect_read_text(struct bytes text, const char *file, dialect_take *take, void *arg,
                           struct fault *why)
{
    struct reading r = {.take = take, .arg = arg, .why = why};
    enum err e = read_source(&r, text, file);
    buf_done(&r.section);
    return e;
}

enum err dialect_read_file(const char *path, dialect_take *take, void *arg, struct fault *why)
{
    struct reading r = {.take = take, .arg = arg, .why = why, .may_include = true};
    struct buf text = {0};
    struct fault reason = {0};
    enum err e = file_read(path, LONGEST_FILE, &text, &reason);
    if (e != E_OK) {
        (void)fault_set(why, e, "cannot read %s", reason.text);
    } else {
        e = read_source(&r, buf_view(&text), path);
    }
    if (text.data != NULL) { mem_wipe(text.data, text.cap); }
    buf_done(&text);
    buf_done(&r.section);
    return e;
}
