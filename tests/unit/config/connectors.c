/* The connectors that can be configured are the connectors that there are. */
#include "steno/channel.h"
#include "steno/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const struct {
    const char *section, *name, *allowed;
} keys[] = {
#define STENO_CONFIG_KEY(section, kind, name, fallback, minimum, maximum, allowed, words) {#section, #name, allowed},
#include "steno/config_keys.def"
#undef STENO_CONFIG_KEY
};

static void every_connector_can_be_configured(void **state)
{
    (void)state;
    g_autoptr(GString) names = g_string_new(NULL);
    for (const StenoConnector *const *one = steno_connectors(); *one; one++)
        g_string_append_printf(names, "%s%s", names->len ? " " : "", (*one)->platform);
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (strcmp(keys[i].section, "PLATFORM") == 0 && strcmp(keys[i].name, "connector") == 0) {
            assert_string_equal(keys[i].allowed, names->str);
            return;
        }
    }
    fail_msg("no key connector");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_connector_can_be_configured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
