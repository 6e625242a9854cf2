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

enum err privileges_drop(const char *user, struct fault *why)
{
    if (user[0] == '\0') { return E_OK; }
    errno = 0;
    const struct passwd *pw = getpwnam(user);
    if (pw == NULL) { return fault_set(why, E_NOTFOUND, "user: there is no user %.60s", user); }
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
