/* What a service manager is told: sd_notify(3), a datagram to $NOTIFY_SOCKET; without it, nothing.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Lines of KEY=VALUE. Control thread. */
void notify_send(const char *fmt, ...) PRINTF(1, 2);
/* How often WATCHDOG=1 is expected at least: half of what the manager waits; 0: never. */
int64_t notify_watchdog_us(void);
