/*
 * The addresses of a line of auth_hba_file: all, samehost, samenet, or a network. What this
 * machine's own addresses are is asked when it matters, not when the file is read: they come and
 * go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum range_kind { RANGE_ALL, RANGE_NET, RANGE_SAMEHOST, RANGE_SAMENET };

struct range {
    enum range_kind kind;
    int family; /* RANGE_NET: of address and mask */
    uint8_t address[16], mask[16];
};

enum range_fit {
    RANGE_OUTSIDE,
    RANGE_INSIDE,
    RANGE_UNKNOWN, /* this machine's addresses cannot be told: whoever asks lets nobody in */
};

/* 10.1.2.3 or fd00::1; the family or AF_UNSPEC, *ret is then untouched. */
int range_read_ip(const char *text, uint8_t ret[16]);
/*
 * What a range can be written as in one word: a keyword (not if it is quoted), or ADDRESS/BITS. An
 * address without bits leaves *ret_needs_mask set, and the mask comes next. NULL, or what is wrong.
 */
const char *range_read(const char *word, bool quoted, struct range *ret, bool *ret_needs_mask);
/* NULL, or what is wrong. */
const char *range_read_mask(const char *word, struct range *r);

/* address: of a client by TCP. Any thread. */
enum range_fit range_fits(const struct range *r, const struct sockaddr *address);
