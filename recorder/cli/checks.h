/* A list of checks, told as ✓ and ✗ with what to do: `steno check`, `steno doctor`. */
#ifndef STENO_CLI_CHECKS_H
#define STENO_CLI_CHECKS_H

#include "client.h"

#include "steno/config.h"

/* A warning is worth a look, but does not make the exit code 1. */
typedef enum { CHECK_GOOD, CHECK_WARNING, CHECK_BAD } CheckResult;

typedef struct CliChecks CliChecks;

CliChecks *checks_new(void);
/* advice: what to do about it, or NULL. All copied. */
void checks_add(CliChecks *checks, CheckResult result, const char *name, const char *advice, const char *format, ...)
    G_GNUC_PRINTF(5, 6);
/* The error's words as a bad check. */
void checks_add_error(CliChecks *checks, const char *name, const char *advice, const GError *error);
/* The {"checks": [{"name", "ok", "detail"}]} of an answer, each as "<prefix> <name>". */
void checks_add_answer(CliChecks *checks, const char *prefix, const char *advice, const json_t *answer);
/* Prints and frees. 0, or 1 when one is bad. */
int checks_print(CliChecks *checks, gboolean json);

/* POST /v1/<kind>/<name>/check; kind: "platforms", "storages". channel: or NULL. FALSE when it could not be asked. */
gboolean checks_ask(CliChecks *checks, CliClient *client, const char *kind, const char *name, const char *channel);

/* ---- of this machine (doctor_local.c) ---------------------------------------------------------------------------- */

void doctor_clock(CliChecks *checks);
/* Room for captures and files; config may be NULL: nothing is known then. */
void doctor_disks(CliChecks *checks, const StenoConfig *config);
/* The key that manifests are signed with. */
void doctor_signing(CliChecks *checks, const StenoConfig *config);
/* Limits of stenod's process, 0: of this one, which is told. */
void doctor_limits(CliChecks *checks, const StenoConfig *config, gint pid);
/* What the kernel takes away from recorders and assemblers. */
void doctor_sandbox(CliChecks *checks);
/* Names of platforms' hosts, STUN and TURN servers, S3 endpoints, key services. */
void doctor_names(CliChecks *checks, const StenoConfig *config);
/* Key sources: folders, files and programs that are there and not others' to read or change, services that answer. */
void doctor_key_sources(CliChecks *checks, const StenoConfig *config);
/* Which cryptographic module does what, and what of it is validated: prints it; the exit code. */
int doctor_fips(gboolean json, GError **error);
/* When the HTTPS server's certificate ends (Unix time); 0: it could not be asked, *words (free it) tells why. */
gint64 cli_client_certificate(const char *address, char **words);

#endif
