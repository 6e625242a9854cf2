/* Runs a fuzz target over files and folders of files, for compilers without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ran;

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 1;
    }
    uint8_t *data = NULL;
    size_t size = 0, cap = 0, got;
    do {
        if (size == cap) {
            cap = cap == 0 ? 4096 : cap * 2;
            data = realloc(data, cap);
            if (data == NULL) { abort(); }
        }
        got = fread(data + size, 1, cap - size, f);
        size += got;
    } while (got > 0);
    (void)fclose(f);
    /* An exact copy, so that a read past the end is caught. */
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    if (exact == NULL) { abort(); }
    if (size > 0) { memcpy(exact, data, size); }
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(data);
    ran++;
    return 0;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) { return replay_file(path); }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return 1;
    }
    int failed = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') { continue; }
        char *file = NULL;
        if (asprintf(&file, "%s/%s", path, e->d_name) < 0) { abort(); }
        failed |= replay_file(file);
        free(file);
    }
    (void)closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) { failed |= replay(argv[i]); }
    (void)printf("replayed %u inputs\n", ran);
    return failed != 0 || ran == 0;
}
