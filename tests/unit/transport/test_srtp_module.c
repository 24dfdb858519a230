/* Which library does SRTP's cryptography: against what the kernel says that is mapped. */
#include "pair.h"

#include "steno/base/crypto_modules.h"

#include <string.h>

static const char *text(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void test_module(void **state)
{
    (void)state;
    json_t *row = steno_transport_srtp_module();
    g_autofree char *maps = NULL;
    assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    assert_int_equal(json_object_size(row), 5);
    assert_non_null(strstr(text(row, "use"), "SRTP"));
    assert_non_null(text(row, "module"));
    assert_non_null(text(row, "version"));
    assert_true(g_ascii_isdigit(text(row, "version")[0]));
    assert_true(json_is_boolean(json_object_get(row, "fips")));
    /* OpenSSL is always there, for DTLS; NSS only comes with libsrtp2. */
    assert_int_equal(strstr(maps, "/libnss3.") != NULL, strcmp(text(row, "module"), "NSS") == 0);
    print_message("SRTP: %s %s\n", text(row, "module"), text(row, "version"));
    json_decref(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_module)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
