/*
 * Readers of the backend messages that pgusher looks into. All points into body.
 * Protocol: "Message Formats". Errors: E_PROTOCOL when the body is not of the message's form.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum auth_request {
    AUTH_REQ_OK = 0,
    AUTH_REQ_PASSWORD = 3,
    AUTH_REQ_MD5 = 5,
    AUTH_REQ_SASL = 10,
    AUTH_REQ_SASL_CONTINUE = 11,
    AUTH_REQ_SASL_FINAL = 12,
};
struct auth_msg {
    uint32_t code; /* enum auth_request, or another that is not supported */
    struct bytes
        data; /* MD5: the salt; SASL: mechanisms; CONTINUE and FINAL: the server's message */
};
MUST_USE enum err response_read_auth(struct bytes body, struct auth_msg *ret);

MUST_USE enum err response_read_parameter(struct bytes body, const char **name, const char **value);
/* key: 4 bytes, or up to 256 since protocol 3.2 */
MUST_USE enum err response_read_key(struct bytes body, uint32_t *pid, struct bytes *key);
/* 'I', 'T' or 'E' */
MUST_USE enum err response_read_ready(struct bytes body, uint8_t *status);
/* The tag, a C string in place: "INSERT 0 1". */
MUST_USE enum err response_read_complete(struct bytes body, const char **tag);

struct notification_msg {
    uint32_t pid; /* of who notified */
    const char *channel, *payload;
};
MUST_USE enum err response_read_notification(struct bytes body, struct notification_msg *ret);

/* DataRow: up to `room` fields, those beyond it are passed over; NULL is a view without address. */
MUST_USE enum err response_read_row(struct bytes body, struct bytes *fields, unsigned room,
                                    unsigned *ret_count);

struct error_msg { /* ErrorResponse, NoticeResponse: NULL what is missing */
    const char *severity, *sqlstate, *message, *detail, *hint, *routine, *file;
};
MUST_USE enum err response_read_error(struct bytes body, struct error_msg *ret);
