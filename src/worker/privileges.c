/* Group first: afterwards there is no right left to change it. */
#include "worker/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

bool privileges_are_roots(void)
{
    return geteuid() == 0;
}

static enum err find_user(const char *user, const struct passwd **ret, struct fault *why)
{
    errno = 0;
    *ret = getpwnam(user);
    return *ret != NULL ? E_OK : fault_set(why, E_NOTFOUND, "user: there is no user %.60s", user);
}

enum err privileges_rehearse(const char *user, struct fault *why)
{
    const struct passwd *pw;
    if (user[0] == '\0') { return E_OK; }
    return privileges_are_roots() ? privileges_drop(user, why) : find_user(user, &pw, why);
}

enum err privileges_drop(const char *user, struct fault *why)
{
    if (user[0] == '\0') { return E_OK; }
    const struct passwd *pw;
    enum err e = find_user(user, &pw, why);
    if (e != E_OK) { return e; }
    if (pw->pw_uid == geteuid()) { return E_OK; }
    if (!privileges_are_roots()) {
        return fault_set(why, E_IO, "cannot become user %.60s: only root can", user);
    }
    if (initgroups(user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
        return fault_set(why, E_IO, "cannot become user %.60s: %s", user, strerror(errno));
    }
    if (pw->pw_uid != 0 && setuid(0) == 0) {
        return fault_set(why, E_IO, "user %.60s could become root again", user);
    }
    return E_OK;
}
