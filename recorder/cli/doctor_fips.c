/* steno doctor --fips: which cryptographic module does what, as a recorder on this machine finds them. */
#include "checks.h"

#include "steno/job.h"

static void add_module(CliChecks *checks, const json_t *row)
{
    g_autofree char *name = g_strdup_printf("%s (%s)", cli_member(row, "algorithm"), cli_member(row, "use"));
    const char *module = cli_member(row, "module"), *version = cli_member(row, "version");
    const char *blank = version[0] ? " " : "";
    if (!module[0])
        checks_add(checks, CHECK_WARNING, name, NULL, "off: no module that is active offers it");
    else if (json_is_true(json_object_get(row, "fips")))
        checks_add(checks, CHECK_GOOD, name, NULL, "%s%s%s", module, blank, version);
    else
        checks_add(checks, CHECK_BAD, name, NULL, "%s%s%s is no FIPS module", module, blank, version);
}

static gboolean is_outside(const json_t *row)
{
    return cli_member(row, "module")[0] && !json_is_true(json_object_get(row, "fips"));
}

int doctor_fips(gboolean json, GError **error)
{
    json_t *modules = steno_job_modules(error), *row = NULL;
    if (!modules)
        return 1;
    CliChecks *checks = json ? NULL : checks_new();
    gboolean ok = TRUE;
    size_t i = 0;
    json_array_foreach (modules, i, row) {
        ok = ok && !is_outside(row);
        if (checks)
            add_module(checks, row);
    }
    if (!checks)
        cli_print_json(json_pack("{s:b, s:O}", "ok", ok, "modules", modules));
    json_decref(modules);
    return checks ? checks_print(checks, FALSE) : ok ? 0 : 1;
}
