/* The command line: check the configuration, then run until told to stop. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "worker/control.h"

static const char usage[] =
    "Usage: pgusher [OPTION]... CONFIG.ini\n"
    "Stands between applications and PostgreSQL: pools, routes and caches.\n"
    "\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "      --check-config  read CONFIG.ini, say what is wrong with it, and exit\n"
    "      --help-config   every option of the configuration, with default and meaning\n"
    "\n"
    "Signals: HUP reloads; TERM and INT let transactions end, then stop (twice: at once); QUIT "
    "stops\n"
    "at once; USR1 pauses, USR2 resumes.\n";

/* NULL: it was said why. */
static struct config *load(const char *path)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    if (config_load(path, &cfg, &why) != E_OK) {
        (void)fprintf(stderr, "pgusher: %s\n", why.text);
        if (why.hint[0] != '\0') { (void)fprintf(stderr, "hint: %s\n", why.hint); }
    }
    return cfg;
}

static int run(const char *path, bool only_check)
{
    struct config *cfg = load(path);
    int status = cfg == NULL;
    if (cfg != NULL && only_check) {
        (void)printf("%s: ok, %zu databases, %zu cache rules, %zu settings\n", path,
                     cfg->databases_count, cfg->rules_count, cfg->settings_count);
    } else if (cfg != NULL) {
        status = control_run(cfg);
    }
    config_unref(&cfg);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool only_check = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0) {
            (void)printf("pgusher %s\n", PGUSHER_VERSION);
            return 0;
        }
        if (strcmp(arg, "--help-config") == 0) {
            config_help(stdout);
            return 0;
        }
        if (strcmp(arg, "--check-config") == 0) {
            only_check = true;
        } else if (arg[0] == '-' || path != NULL) {
            (void)fprintf(stderr, "pgusher: unexpected argument %s\n%s", arg, usage);
            return 1;
        } else {
            path = arg;
        }
    }
    if (path == NULL) {
        (void)fprintf(stderr, "pgusher: which configuration file?\n%s", usage);
        return 1;
    }
    return run(path, only_check);
}
