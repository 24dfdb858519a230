/*
 * content: the channel's own AES, which is above SRTP and whose keys only the customer has. Encrypted frame in, frame
 * out. A const table of formats, key sets, a key ring for the packet path, and the places that keys come from.
 * Formats, derivations and the key file: docs/CHANNEL-AES.md.
 *
 * Keys live in locked memory (base/secret.h), derived ones too; nothing here writes one anywhere else, or says one in
 * an error. Tags are compared in constant time, and nothing is given out before the tag was right.
 */
#ifndef STENO_CONTENT_H
#define STENO_CONTENT_H

#include "steno/base/job.h"
#include "steno/base/log.h"
#include "steno/frame.h"

/* ---- formats ----------------------------------------------------------------------------------------------------- */

typedef enum {
    STENO_CONTENT_PER_FRAME, /* the whole encoded frame, before it was packetized */
    STENO_CONTENT_PER_PACKET /* each RTP payload */
} StenoContentUnit;

/* A row of the table, by its name: "sframe", "sframe-packet" (RFC 9605), "livekit", "jitsi", "aes-128-gcm",
 * "aes-256-gcm", "aes-128-gcm2", "aes-256-gcm2", "aes-128-xts", "aes-256-xts", "aes-128-ecb", "sm4-128-ecb". */
typedef struct StenoContentFormat StenoContentFormat;

/* NULL: there is none of this name; "none" is none. Static. */
const StenoContentFormat *steno_content_format(const char *name);
const char *steno_content_format_name(const StenoContentFormat *format);
StenoContentUnit steno_content_format_unit(const StenoContentFormat *format);
/* It tells nobody that a frame was changed: lawful only where job.allow_insecure_modes says so. */
gboolean steno_content_format_is_insecure(const StenoContentFormat *format);
/* The names, NULL-terminated, in the table's order, for help and errors. Static. */
const char *const *steno_content_format_names(void);

/* ---- key sets ---------------------------------------------------------------------------------------------------- */

/* A key set is refused when its text is longer, or it holds more keys: 256 participants with 16 keys each. */
#define STENO_CONTENT_KEYS_MAX_BYTES (1024 * 1024)
#define STENO_CONTENT_KEYS_MAX 4096

/* What a key file says (docs/CHANNEL-AES.md): immutable, refcounted, any thread. */
typedef struct StenoContentKeys StenoContentKeys;

/*
 * Reads a key set for a format: every key is checked (lengths, participant, kid, no key twice) and derived as far as
 * that needs no frame (PBKDF2 takes tens of ms a key: not on the network thread). `where` names the source in errors.
 * KEYS_INVALID, which names the member and what is allowed, and shows no value.
 */
StenoContentKeys *steno_content_keys_parse(const StenoContentFormat *format, const char *text, gsize bytes,
                                           const char *where, GError **error);
StenoContentKeys *steno_content_keys_ref(StenoContentKeys *keys);
void steno_content_keys_unref(StenoContentKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoContentKeys, steno_content_keys_unref)
guint steno_content_keys_count(const StenoContentKeys *keys);

/* ---- the ring: keys on the packet path --------------------------------------------------------------------------- */

typedef enum {
    STENO_CONTENT_OPENED,
    STENO_CONTENT_CLEAR,    /* the format lets this frame pass as it is (empty: DTX); copied */
    STENO_CONTENT_INJECTED, /* put in by the server, and not of the sender: to be left out */
    STENO_CONTENT_NO_KEY,   /* there is none for this participant and kid, or it is still being derived */
    STENO_CONTENT_BAD_KEY,  /* the tag is wrong under every key that it may be under, or there is no lawful trailer or
                               header: changed, or sealed with another key, or not sealed at all */
} StenoContentOutcome;

/* "no-key" … as in events; NULL for what is no failure. Static. */
const char *steno_content_outcome_name(StenoContentOutcome outcome);

typedef struct StenoContentRing StenoContentRing;

typedef struct {
    const StenoContentFormat *format;
    /* TRUE: keys are derived ahead (ratchets) on a thread of the ring, and steno_content_open() never waits: frames
     * under a key that is not derived yet come back as NO_KEY. FALSE (assembly): it derives when it needs to, and
     * looks further ahead, since it may begin in the middle. */
    gboolean live;
    const char *sif_trailer; /* LiveKit: the room's mark of injected frames; NULL: none */
    const StenoLog *log;
} StenoContentRingConfig;

/* All from one thread. */
StenoContentRing *steno_content_ring_new(const StenoContentRingConfig *config);
void steno_content_ring_free(StenoContentRing *ring);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoContentRing, steno_content_ring_free)
/* Adds keys; one for the same participant and kid takes the place of the older one (not of the same one: a ratchet that
 * has gone on stays where it is). Keys that are not in the set stay. Of the ring's format. */
void steno_content_ring_add(StenoContentRing *ring, StenoContentKeys *keys);

/* What is opened for one track of one participant. */
typedef struct StenoContentOpener StenoContentOpener;

/* The ring must outlive it. The ring's thread, as all below. */
StenoContentOpener *steno_content_opener_new(StenoContentRing *ring, const char *participant);
void steno_content_opener_free(StenoContentOpener *opener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoContentOpener, steno_content_opener_free)

typedef struct {
    guint64 kid;       /* key id of the frame; 0 when it could not be read */
    gboolean has_kid;  /* it could */
    gboolean deriving; /* NO_KEY, but only until steps of a ratchet that are still being derived have been tried */
    gsize bytes;       /* written to out */
} StenoContentOpened;

/*
 * Opens one frame (or RTP payload), which is lent and not changed. out has room for at least `bytes`; what is in it is
 * undefined unless OPENED or CLEAR. Allocates nothing once its key has been used, takes no lock. keyframe: as far as it
 * is known outside of the encryption; formats that need to know look themselves.
 */
StenoContentOutcome steno_content_open(StenoContentOpener *opener, StenoCodec codec, const guint8 *data, gsize bytes,
                                       guint8 *out, StenoContentOpened *opened);

/* ---- where keys come from ---------------------------------------------------------------------------------------- */

/* A participant's key that somebody waits for. participant as the channel calls it. */
typedef struct {
    char *participant;
    guint64 kid;
} StenoContentWant;

/* Some sources need more than a confined recorder has: another process, its agent, works for them. */
typedef enum {
    STENO_CONTENT_INSIDE,     /* none, inline, or only the network */
    STENO_CONTENT_READING,    /* reads and watches files that may come and go */
    STENO_CONTENT_UNCONFINED, /* runs a program, or loads a module, of the customer's: nobody knows what that needs */
} StenoContentApart;

StenoContentApart steno_content_apart(const StenoJobSpec *job);
/* Blocking, in the agent: asks the job's source what comes over the socket, until that is closed. */
void steno_content_agent_serve(const StenoJobSpec *job, int fd);

typedef struct StenoContentSource StenoContentSource;

typedef struct {
    /* Keys have come or changed: add them to the ring. Owned by the caller. */
    void (*keys)(gpointer user, StenoContentKeys *keys);
    /* They could not be had (KEY_SOURCE, KEYS_INVALID); it is tried again as long as somebody waits. */
    void (*trouble)(gpointer user, const GError *error);
} StenoContentSourceEvents;

/*
 * Is what the job says of its channel's AES possible: format, source and their members fit together. USAGE. Also
 * without a format ("none": all is well).
 */
gboolean steno_content_check_job(const StenoJobSpec *job, GError **error);
/*
 * The source that the job names (job.content_keys), or NULL without an error for "later" and "none". Works on a thread
 * of its own; calls back in the default main context, from which all of this is called. At once it asks for what needs
 * no kid (inline, file, the channel's whole set); for single keys when they are wanted. job must outlive it. agent_fd:
 * the agent's socket, which is the source's from here on, or -1: it works in this process. USAGE, KEYS_INVALID for
 * inline keys that cannot be read.
 */
StenoContentSource *steno_content_source_new(const StenoJobSpec *job, int agent_fd, const StenoLog *log,
                                             const StenoContentSourceEvents *events, gpointer user, GError **error);
void steno_content_source_free(StenoContentSource *source);
/* Frames of this participant wait for this key: asks for it, again and again (1 s, doubling to 10 s) until it is there
 * or nobody wants it any more. Asking twice is asking once. */
void steno_content_source_want(StenoContentSource *source, const char *participant, guint64 kid);
/* Nobody waits for it any more. */
void steno_content_source_unwant(StenoContentSource *source, const char *participant, guint64 kid);

/*
 * Blocking, for the assembly: the text of one key set with everything that the job's source has of what is wanted. NULL
 * with KEY_SOURCE, KEYS_INVALID or NO_KEY when it has nothing within timeout_s. agent_fd: as above.
 */
StenoSecret *steno_content_gather(const StenoJobSpec *job, int agent_fd, const StenoContentWant *wants, guint n_wants,
                                  guint timeout_s, const StenoLog *log, GError **error);

#endif
