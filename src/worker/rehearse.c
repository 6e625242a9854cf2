/* In the order of a start: first what root may do, then all else as the user it becomes. */
#include "worker/rehearse.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keyring.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "net/dns.h"
#include "net/socket.h"
#include "worker/access.h"
#include "worker/libraries.h"
#include "worker/privileges.h"
#include "worker/secure.h"

/* Can a file be made there? 0 or an errno. */
static int try_folder(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) { return errno; }
    if (!S_ISDIR(st.st_mode)) { return ENOTDIR; }
    return access(path, W_OK | X_OK) == 0 ? 0 : errno;
}

/* Can it be written to, or made? */
static int try_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        return S_ISDIR(st.st_mode) ? EISDIR : access(path, W_OK) == 0 ? 0 : errno;
    }
    if (errno != ENOENT) { return errno; }
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL   ? mem_strdup(".")
                   : slash == path ? mem_strdup("/")
                                   : mem_strndup(path, (size_t)(slash - path));
    int failed = try_folder(folder);
    mem_free(&folder);
    return failed;
}

static enum err check_written(const char *option, const char *path, int failed, struct fault *why)
{
    return failed == 0 ? E_OK
                       : fault_set(why, E_IO, "%s %s: %s", option, path, strerrordesc_np(failed));
}

static enum err check_doors(const struct options *o, struct fault *why)
{
    enum err e = E_OK;
    const char *dir = o->unix_socket_dir;
    if (o->pidfile[0] != '\0') {
        e = check_written("pidfile", o->pidfile, try_file(o->pidfile), why);
    }
    if (e == E_OK) { e = socket_check_tcp(o->listen_addr, why); }
    if (e == E_OK) { e = socket_check_unix(dir, o->listen_port, o->unix_socket_group, why); }
    if (e == E_OK && dir[0] != '\0' && dir[0] != '@') {
        e = check_written("unix_socket_dir", dir, try_folder(dir), why);
    }
    return e;
}

static enum err check_cache(const struct config *cfg, struct fault *why)
{
    struct cache *cache = NULL;
    enum err e = cache_open(cfg, &cache, why);
    cache_close(&cache);
    return e;
}

enum err rehearse_start(const struct config *cfg, const struct launch *how, struct fault *why)
{
    const struct options *o = &cfg->o;
    struct access access = {0};
    struct secured secured = {0};
    const struct secured none = {0};
    enum err e = check_doors(o, why);
    if (e == E_OK) { e = privileges_rehearse(how->user != NULL ? how->user : o->user, why); }
    if (e == E_OK && o->logfile[0] != '\0') {
        e = check_written("logfile", o->logfile, try_file(o->logfile), why);
    }
    if (e == E_OK) { e = dns_check_file(o->resolv_conf, why); }
    if (e == E_OK) { e = check_cache(cfg, why); }
    if (e == E_OK) { e = access_load(cfg, NULL, &access, why); }
    if (e == E_OK) { e = libraries_load(cfg, &access, why); }
    if (e == E_OK) { e = secured_load(cfg, &none, &secured, why); }
    access_done(&access);
    secured_done(&secured);
    keyring_forget();
    return e;
}
