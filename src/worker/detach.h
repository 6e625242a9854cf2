/* -d: the process goes on in the background once it serves, and who started it learns how it went.
 */
#pragma once

#include "base/fault.h"

/*
 * Returns in the child only, before any thread: the caller's process waits for detach_ready() and
 * then exits with 0, or with 1 when the child ended without it. *ret_ready is for that call.
 */
MUST_USE enum err detach_begin(int *ret_ready, struct fault *why);
/* It serves: standard input, output and error go, and so does the process that waits. */
void detach_ready(int ready);
