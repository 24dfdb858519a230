/*
 * A chain: one key's ratchet, with a cipher for each of its steps that is kept.
 *
 * Ciphers are used on the ring's thread. Who derives further ones is the ring's thread too (assembly), or one of its
 * own (deriver.h, live), which hands them over through `inbox`, without a lock; from the first request on, `material`
 * belongs to that thread.
 */
#ifndef STENO_CONTENT_CHAIN_H
#define STENO_CONTENT_CHAIN_H

#include "format.h"

#include <stdatomic.h>

typedef struct ContentStep ContentStep; /* on its way through the inbox */

typedef struct ContentChain ContentChain;
struct ContentChain {
    gatomicrefcount references;
    const StenoContentFormat *format;
    ContentSettings *settings;
    guint64 head;    /* the kid of its frames, without the step where they tell it */
    guint64 modulus; /* told steps are counted modulo this; 0: they are not told */
    guint64 start;   /* the told step of step 0 */
    guint window;    /* 0: it does not ratchet */

    /* The ring's thread. */
    GPtrArray *ciphers;  /* of steps first_step … */
    guint64 first_step;  /* the oldest that is kept */
    guint64 last_opened; /* the furthest step that a frame was opened with */
    gboolean opened;     /* one was */
    guint64 requested;   /* steps up to this have been asked for */

    /* Who derives. */
    StenoSecret *material;
    gsize material_bytes;
    guint64 material_step; /* which step's it is */
    guint64 derived;       /* so many ciphers were made */

    /* Between the two. */
    _Atomic(ContentStep *) inbox;
    _Atomic(guint64) wanted; /* derive until there are so many */
    atomic_bool queued;      /* the deriver has it */
    atomic_bool ended;       /* OpenSSL refuses to go on */
    ContentChain *next;      /* in the deriver's list */
};

/* With step 0 derived. frame_kid: of a frame under this key. */
ContentChain *content_chain_new(const StenoContentFormat *format, ContentSettings *settings, const ContentKey *key,
                                guint64 frame_kid);
ContentChain *content_chain_ref(ContentChain *chain);
void content_chain_unref(ContentChain *chain);

/* The kid of a key's chains: what frames and keys must have in common. */
guint64 content_chain_home(const StenoContentFormat *format, const ContentSettings *settings, guint64 kid);
/* A frame's kid without its step: which of a key's chains it is under. */
guint64 content_chain_head(const StenoContentFormat *format, const ContentSettings *settings, guint64 kid);

/* The cipher of a step; NULL when it is not there yet, or not any more. Ring's thread. */
ContentCipher *content_chain_cipher(const ContentChain *chain, guint64 step);
/* How many steps there are, those that are not kept any more among them. Ring's thread. */
guint64 content_chain_end(const ContentChain *chain);
/* Forgets steps before this one. Ring's thread. */
void content_chain_forget(ContentChain *chain, guint64 before);

/* Derives the next step here and now (assembly). FALSE: OpenSSL refuses. */
gboolean content_chain_extend(ContentChain *chain);
/* Derives the next step for the inbox, if one is wanted; FALSE: none is. The deriver's thread. */
gboolean content_chain_derive_wanted(ContentChain *chain);
/* Takes what is in the inbox. Ring's thread. */
void content_chain_collect(ContentChain *chain);

#endif
