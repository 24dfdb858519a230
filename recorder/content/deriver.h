/*
 * The thread that derives ratchet steps ahead for a live ring, so that the packet path never waits for a derivation.
 * It is asked, and answers, without locks: a list of requests by compare-and-swap, an eventfd, and the chains' inboxes.
 */
#ifndef STENO_CONTENT_DERIVER_H
#define STENO_CONTENT_DERIVER_H

#include "chain.h"

typedef struct ContentDeriver ContentDeriver;

ContentDeriver *content_deriver_new(void);
/* Waits for the step that is being derived, forgets all others. */
void content_deriver_free(ContentDeriver *deriver);
/* Let there be so many steps of a chain, soon. Chains take turns, a step each. Any thread. */
void content_deriver_request(ContentDeriver *deriver, ContentChain *chain, guint64 wanted);

#endif
