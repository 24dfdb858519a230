/* The two halves of an RFC 3161 exchange: the query's bytes, and what an answer must be. */
#ifndef STENO_PROOF_TIMESTAMP_H
#define STENO_PROOF_TIMESTAMP_H

#include <glib.h>
#include <openssl/ts.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TS_REQ, TS_REQ_free)

/* Of data's SHA-256, asking for the signer's certificate; nonce: with one of 63 bits. INTERNAL. */
TS_REQ *timestamp_query(const guint8 *data, gsize bytes, gboolean nonce, GError **error);
/* Is stamp the answer to query? ca_pem_file may be NULL. SIGNATURE, CONFIG. */
gboolean timestamp_check(TS_REQ *query, const char *ca_pem_file, const guint8 *stamp, gsize stamp_bytes,
                         gint64 *stamped_us, GError **error);

#endif
