/* Time is int64_t monotonic microseconds; read once per loop turn and passed down as `now`. */
#pragma once

#include <stdint.h>

#define US_PER_S  INT64_C(1000000)
#define US_PER_MS INT64_C(1000)

/* CLOCK_MONOTONIC in microseconds. */
int64_t clock_now_us(void);
/* Wall clock in microseconds since 1970, for text shown to people only. */
int64_t clock_wall_us(void);
