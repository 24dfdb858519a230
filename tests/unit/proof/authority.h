/* A time stamping authority: `openssl ts -reply` behind HTTP. */
#ifndef TEST_PROOF_AUTHORITY_H
#define TEST_PROOF_AUTHORITY_H

#include <glib.h>

typedef struct Authority Authority;

typedef enum {
    AUTHORITY_HONEST,
    AUTHORITY_OTHER_QUERY, /* answers with the stamp of the query before */
    AUTHORITY_OTHER_NONCE, /* stamps the same bytes, for another nonce */
    AUTHORITY_REFUSES,     /* status "rejection", with words of its own */
    AUTHORITY_FLIPPED,     /* a bit of its signature */
    AUTHORITY_LARGE,       /* 1 MiB */
    AUTHORITY_HTML,
    AUTHORITY_MOVED, /* 302 */
    AUTHORITY_BUSY,  /* 503 */
    AUTHORITY_CUT    /* less than Content-Length */
} AuthorityMood;

/* Makes ca.pem, other_ca.pem and the authority's key and certificate in folder. */
Authority *authority_start(const char *folder);
void authority_stop(Authority *authority);
/* http://user:password@127.0.0.1:PORT/tsa?key=SECRET. Lent. */
const char *authority_url(const Authority *authority);
void authority_mood(Authority *authority, AuthorityMood mood);
/* How many it was asked. */
guint authority_queries(Authority *authority);

#endif
