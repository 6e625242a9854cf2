/* Whole files into memory, for what is read at start and at reload. Off the worker threads. */
#pragma once

#include "base/buf.h"
#include "base/fault.h"

/*
 * Appends the file. Its memory has the right size from the start: growing would leave copies of a
 * secret behind.
 * Errors: E_IO "PATH: reason": it cannot be read, is no regular file, is longer than `most` bytes,
 *         or changed meanwhile; E_NOMEM.
 */
MUST_USE enum err file_read(const char *path, size_t most, struct buf *ret, struct fault *why);
