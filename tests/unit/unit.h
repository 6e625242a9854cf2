/* What every unit test starts with: TEST names a behaviour as a sentence, CHECK states it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TEST(name)       static void name(void **state __attribute__((unused)))
#define CHECK(condition) assert_true(condition)
#define CHECK_STR(a, b)  assert_string_equal((a), (b))
#define RUN(name)        cmocka_unit_test(name)
