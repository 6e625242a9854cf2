/*
 * What cost time or a login to learn, kept for the life of the process: keys derived from a
 * password (thousands of hash rounds), and ClientKeys seen in a SCRAM login. Each lies under an id
 * that only this process can compute, so that neither a reload of auth_file nor an auth_query loses
 * it, and a changed password simply never asks for the old one again. Bounded: the oldest goes. Any
 * thread.
 */
#pragma once

#include "base/bytes.h"

enum { KEYRING_ID = 32, KEYRING_DATA = 64, KEYRING_MOST = 16384 };

/* A keyed hash of the parts; `purpose` keeps ids of different uses apart. */
void keyring_id(const char *purpose, const struct bytes *parts, unsigned count,
                uint8_t ret[KEYRING_ID]);
/* False when nothing is kept under the id. */
bool keyring_find(const uint8_t id[KEYRING_ID], uint8_t ret[KEYRING_DATA]);
void keyring_keep(const uint8_t id[KEYRING_ID], const uint8_t data[KEYRING_DATA]);
/* Wipes and frees all that is kept. */
void keyring_forget(void);
