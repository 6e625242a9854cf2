/* The command line: check the configuration, then run until told to stop. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "config/config.h"
#include "net/dns.h"
#include "worker/control.h"
#include "worker/rehearse.h"

static const char usage[] =
    "Usage: pgusher [OPTION]... CONFIG.ini\n"
    "Stands between applications and PostgreSQL: pools, routes and caches.\n"
    "\n"
    "  -d, --daemon         run in the background; exit once it serves\n"
    "  -q, --quiet          no log on standard error\n"
    "  -R, --reboot         take over from the process that has the pidfile: it drains\n"
    "  -u, --user=USERNAME  become this user once the sockets are bound\n"
    "  -v, --verbose        more in the log; may be repeated\n"
    "  -V, --version        the version\n"
    "  -h, --help           this text\n"
    "      --check-config   say what is wrong with CONFIG.ini or a file it names, and exit\n"
    "      --help-config    every option of the configuration, with default and meaning\n"
    "\n"
    "Signals: HUP reloads; TERM and INT let transactions end, then stop (twice: at once); QUIT "
    "stops\n"
    "at once; USR1 pauses, USR2 resumes.\n";

static void complain(const struct fault *why)
{
    (void)fprintf(stderr, "pgusher: %s\n", why->text);
    if (why->hint[0] != '\0') { (void)fprintf(stderr, "hint: %s\n", why->hint); }
}

/* NULL: it was said why. */
static struct config *load(const char *path)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    if (config_load(path, &cfg, &why) != E_OK) { complain(&why); }
    return cfg;
}

static int run(const char *path, bool only_check, const struct launch *how)
{
    struct config *cfg = load(path);
    struct fault why = {0};
    int status = cfg == NULL;
    if (cfg != NULL && only_check && rehearse_start(cfg, how, &why) != E_OK) {
        complain(&why);
        status = 1;
    } else if (cfg != NULL && only_check) {
        (void)printf("%s: ok, %zu databases, %zu cache rules, %zu settings\n", path,
                     cfg->databases_count, cfg->rules_count, cfg->settings_count);
    } else if (cfg != NULL) {
        status = control_run(cfg, how);
    }
    config_unref(&cfg);
    return status;
}

static void show_version(void)
{
    (void)printf("pgusher %s\n", PGUSHER_VERSION);
    (void)printf("libuv %s\n", uv_version_string());
    (void)printf("adns: %s\n", dns_version());
    (void)printf("tls: %s\n", OpenSSL_version(OPENSSL_VERSION));
    (void)printf("systemd: yes\n");
}

int main(int argc, char **argv)
{
    enum { CHECK_CONFIG = 256, HELP_CONFIG };
    static const struct option options[] = {
        {"daemon", no_argument, NULL, 'd'},
        {"quiet", no_argument, NULL, 'q'},
        {"reboot", no_argument, NULL, 'R'},
        {"user", required_argument, NULL, 'u'},
        {"verbose", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {"check-config", no_argument, NULL, CHECK_CONFIG},
        {"help-config", no_argument, NULL, HELP_CONFIG},
        {NULL, 0, NULL, 0},
    };
    struct launch how = {0};
    bool only_check = false;
    for (int c; (c = getopt_long(argc, argv, "dqRu:vVh", options, NULL)) != -1;) {
        switch (c) {
        case 'd': how.daemon = true; break;
        case 'q': how.quiet = true; break;
        case 'R': how.reboot = true; break;
        case 'u': how.user = optarg; break;
        case 'v': how.verbose++; break;
        case 'V': show_version(); return 0;
        case 'h': (void)fputs(usage, stdout); return 0;
        case CHECK_CONFIG: only_check = true; break;
        case HELP_CONFIG: config_help(stdout); return 0;
        default: (void)fputs(usage, stderr); return 1; /* getopt said what is wrong */
        }
    }
    if (optind + 1 != argc) {
        (void)fprintf(stderr, "pgusher: %s\n%s",
                      optind == argc ? "which configuration file?"
                                     : "one configuration file, not several",
                      usage);
        return 1;
    }
    return run(argv[optind], only_check, &how);
}
