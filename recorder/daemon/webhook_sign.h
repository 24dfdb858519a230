/*
 * webhook_sign: proves to a receiver that an event is ours. Standard Webhooks ("v1": HMAC-SHA256 of id.timestamp.body)
 * and LiveSwitch's X-ApplicationSignature (HMAC-SHA256 of the body).
 *
 * Secrets come from files that are read again when they change, so that a secret is rotated without a restart.
 */
#ifndef STENO_DAEMON_WEBHOOK_SIGN_H
#define STENO_DAEMON_WEBHOOK_SIGN_H

#include "steno/base/secret.h"

/* Lines of a secret file: the new and the old one while it is rotated, with room; each makes the header longer. */
#define WEBHOOK_SECRETS_MAX 8
/* What Standard Webhooks has a secret be. */
#define WEBHOOK_SECRET_MIN_BYTES 24
#define WEBHOOK_SECRET_MAX_BYTES 64

typedef struct WebhookSecrets WebhookSecrets;

/*
 * Files as in the configuration ("credential:NAME" too), NULL for none. CONFIG naming file and line: unreadable, no
 * whsec_ secret in a line.
 */
WebhookSecrets *webhook_secrets_new(const char *secret_file, const char *application_secret_file, GError **error);
void webhook_secrets_free(WebhookSecrets *secrets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WebhookSecrets, webhook_secrets_free)

/* Reads what changed. On failure what was known before stays in use; told once a change. */
gboolean webhook_secrets_refresh(WebhookSecrets *secrets, GError **error);

/* "v1,<base64> v1,<base64>", one a secret; NULL when there is none. Caller frees. */
char *webhook_secrets_sign(const WebhookSecrets *secrets, const char *id, gint64 timestamp_s, const char *body);
/* X-ApplicationSignature; NULL when there is no such secret. Caller frees. */
char *webhook_secrets_sign_application(const WebhookSecrets *secrets, const char *body);

/* "whsec_<base64>" lines to secrets (GPtrArray of StenoSecret); blank lines are skipped. CONFIG with the line. */
GPtrArray *webhook_secrets_parse(const char *text, GError **error);

#endif
