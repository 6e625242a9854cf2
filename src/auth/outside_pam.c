/* One PAM conversation, in which every hidden question is answered with the password. */
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

#include "auth/outside.h"
#include "base/library.h"
#include "base/mem.h"

#define PAM_CALLS(X)                                                                               \
    X(acct_mgmt)                                                                                   \
    X(authenticate)                                                                                \
    X(end)                                                                                         \
    X(set_item)                                                                                    \
    X(start)                                                                                       \
    X(strerror)

/* Written before a login can need it: by whoever loads a configuration. */
static struct {
#define PAM_POINTER(name) __typeof__(pam_##name) *(name);
    PAM_CALLS(PAM_POINTER)
} pam;

enum err outside_load_pam(struct fault *why)
{
#define PAM_NAME(name) "pam_" #name,
    static const char *const names[] = {PAM_CALLS(PAM_NAME)};
    _Static_assert(sizeof pam == sizeof names, "a pointer for each name");
    if (pam.start != NULL) { return E_OK; }
    return library_load(PAM_LIBRARY, names, sizeof names / sizeof names[0], &pam, why);
}

static void free_answers(int count, struct pam_response *answers)
{
    for (int i = 0; i < count; i++) {
        if (answers[i].resp == NULL) { continue; }
        mem_wipe(answers[i].resp, strlen(answers[i].resp));
        free(answers[i].resp);
    }
    free(answers);
}

/* PAM frees what it is given, so this is malloc's. */
static int converse(int count, const struct pam_message **messages, struct pam_response **ret,
                    void *arg)
{
    if (count <= 0 || count > PAM_MAX_NUM_MSG) { return PAM_CONV_ERR; }
    struct pam_response *answers = calloc((size_t)count, sizeof *answers);
    if (answers == NULL) { return PAM_BUF_ERR; }
    for (int i = 0; i < count; i++) {
        switch (messages[i]->msg_style) {
        case PAM_PROMPT_ECHO_OFF: answers[i].resp = strdup(arg); break;
        case PAM_ERROR_MSG: /* for the eyes of a person */
        case PAM_TEXT_INFO: answers[i].resp = strdup(""); break;
        default: free_answers(count, answers); return PAM_CONV_ERR;
        }
        if (answers[i].resp == NULL) {
            free_answers(count, answers);
            return PAM_BUF_ERR;
        }
    }
    *ret = answers;
    return PAM_SUCCESS;
}

enum err outside_pam(const char *service, const char *user, const char *password,
                     const char *address, struct fault *why)
{
    if (password[0] == '\0') { return fault_set(why, E_AUTH, "empty password"); }
    char *own = mem_strdup(password); /* PAM's types know no const */
    const struct pam_conv conversation = {converse, own};
    pam_handle_t *handle = NULL;
    const char *step = "pam_start";
    int rc = pam.start(service, user, &conversation, &handle);
    if (rc == PAM_SUCCESS && address != NULL) {
        step = "pam_set_item";
        rc = pam.set_item(handle, PAM_RHOST, address);
    }
    if (rc == PAM_SUCCESS) {
        step = "pam_authenticate";
        rc = pam.authenticate(handle, PAM_SILENT);
    }
    if (rc == PAM_SUCCESS) {
        step = "pam_acct_mgmt";
        rc = pam.acct_mgmt(handle, PAM_SILENT);
    }
    enum err e = E_OK;
    if (rc != PAM_SUCCESS) {
        bool unable = rc == PAM_AUTHINFO_UNAVAIL || rc == PAM_SYSTEM_ERR || rc == PAM_BUF_ERR ||
                      rc == PAM_ABORT || rc == PAM_OPEN_ERR || rc == PAM_SYMBOL_ERR ||
                      rc == PAM_SERVICE_ERR;
        e = fault_set(why, unable ? E_LOST : E_AUTH, "%s: %s", step, pam.strerror(handle, rc));
    }
    if (handle != NULL) { (void)pam.end(handle, rc); }
    mem_wipe(own, strlen(own));
    mem_free(&own);
    return e;
}
