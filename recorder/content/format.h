/*
 * A row of the table of formats, inside of the room. Rows are static const objects, one file (or a few) a family, named
 * content_…; content.c lists them. A row knows bytes and algorithms; which key a frame is tried with, in which order,
 * and when a ratchet goes on is the ring's business (ring.c), what stands in JSON that of keys.c.
 *
 * Words: a *key* of a set is where a *chain* begins. A chain has steps 0, 1, 2 …: step 0's *material* is made of the
 * key by prepare(), each following one of the one before by ratchet(). Of a step's material (and the kid) derive()
 * makes a *cipher*: EVP contexts keyed once, which open() sets back with each frame's IV only. A chain without ratchet
 * has step 0 alone.
 *
 * No function of a row keeps state but in its cipher; none logs; none waits.
 */
#ifndef STENO_CONTENT_FORMAT_H
#define STENO_CONTENT_FORMAT_H

#include "steno/content.h"

/* ---- what a key set says ----------------------------------------------------------------------------------------- */

typedef enum { CONTENT_KDF_DEFAULT, CONTENT_KDF_PBKDF2, CONTENT_KDF_HKDF, CONTENT_KDF_NONE } ContentKdf;

/* Members of a key set that a format allows, besides format and keys. Any other is refused by the parser. */
enum {
    CONTENT_MEMBER_KDF = 1 << 0,
    CONTENT_MEMBER_SALT = 1 << 1, /* text, of the whole set */
    CONTENT_MEMBER_KEY_BITS = 1 << 2,
    CONTENT_MEMBER_RATCHET_WINDOW = 1 << 3,
    CONTENT_MEMBER_SUITE = 1 << 4, /* with ratchet_bits, mls, metadata: SFrame's */
    /* Members of a key, besides participant and kid; at least one, and each key has exactly one of them. */
    CONTENT_MEMBER_PASSPHRASE = 1 << 8,
    CONTENT_MEMBER_KEY = 1 << 9,
    CONTENT_MEMBER_SECRET = 1 << 10,
    CONTENT_MEMBER_KEY_SALT = 1 << 11, /* "salt" of a key; required with its secret */
};

/* What is the same for all keys of a set. Public as a whole (salts and metadata are no secrets). */
typedef struct {
    ContentKdf kdf;
    char *salt;           /* NULL: not given */
    guint key_bits;       /* 0: not given */
    guint ratchet_window; /* 8 when it is not given and the format has one */
    gboolean has_ratchet_window;
    guint suite;        /* 0: not given */
    guint ratchet_bits; /* 0: no ratchet */
    gboolean mls;       /* then epoch_bits and sender_bits hold; keys have "epoch", which becomes their kid */
    guint epoch_bits, sender_bits;
    guint8 *metadata; /* NULL: none */
    gsize metadata_bytes;
    guint key_members; /* what the set's keys are: _PASSPHRASE, _KEY, _SECRET, ORed */
    guint far_steps;   /* by settle(): how many ratchet steps assembly may look ahead; 0: CONTENT_FAR_STEPS */
} ContentSettings;

/* One key as the set says it; lent. */
typedef struct {
    guint member; /* CONTENT_MEMBER_PASSPHRASE, _KEY or _SECRET */
    const guint8 *bytes;
    gsize n_bytes;      /* at least 1, at most CONTENT_KEY_MAX_BYTES */
    const guint8 *salt; /* CONTENT_MEMBER_KEY_SALT; NULL: not given */
    gsize salt_bytes;
} ContentKeyInput;

/* A longer passphrase or key is refused: nobody has one. */
#define CONTENT_KEY_MAX_BYTES 1024
/* No format's material, and no raw key, is longer than this. */
#define CONTENT_MATERIAL_MAX_BYTES 256

/* Assembly looks so many ratchet steps ahead where a recording begins in the middle: 85 minutes of one every 5 s. */
#define CONTENT_FAR_STEPS 1024

/* ---- frames ------------------------------------------------------------------------------------------------------ */

/* A frame, or RTP payload, on its way through a row. */
typedef struct {
    StenoCodec codec;
    const guint8 *data; /* lent */
    gsize bytes;
    const guint8 *sif_trailer; /* LiveKit; NULL: none */
    gsize sif_trailer_bytes;
    /* What look() found, for open(). */
    guint64 kid;
    guint64 counter;    /* SFrame's CTR */
    gsize header_bytes; /* clear bytes at the beginning */
} ContentFrame;

typedef struct ContentCipher ContentCipher; /* each family has its own */

struct StenoContentFormat {
    const char *name;
    StenoContentUnit unit;
    gboolean insecure;
    guint members;
    guint variant; /* for the family's own use: key bits, … */

    /*
     * Checks what is said for all keys, and puts defaults in. KEYS_INVALID with a message that names the member and
     * what is allowed ("\"suite\" must be 1 to 5"): the parser puts the source before it. NULL: nothing to check.
     */
    gboolean (*settle)(const StenoContentFormat *format, ContentSettings *settings, GError **error);
    /* The highest kid that a key of the set may have. NULL: any. */
    guint64 (*max_kid)(const ContentSettings *settings);
    /*
     * Checks one key and makes step 0's material of it: how many bytes of `material` (CONTENT_MATERIAL_MAX_BYTES) it
     * is; 0 with KEYS_INVALID. May be slow (PBKDF2); several at once on several threads.
     */
    gsize (*prepare)(const StenoContentFormat *format, const ContentSettings *settings, const ContentKeyInput *key,
                     guint8 *material, GError **error);
    /*
     * Reads the frame's kid and what else is outside of the encryption. OPENED: go on, with kid; CLEAR, INJECTED; or
     * BAD_KEY: no frame of this format. Settings are not known yet.
     */
    StenoContentOutcome (*look)(ContentFrame *frame);
    /* The kid of the key in the set which a frame of this kid is under, or of a key's own. NULL: the same. */
    guint64 (*key_kid)(const ContentSettings *settings, guint64 frame_kid);
    /*
     * Where frames say at which step of the ratchet they are: steps are counted modulo this in the kid's low bits (a
     * power of two; 1: no ratchet), and a key's kid says at which step it is. NULL: they do not say; the window is
     * tried.
     */
    guint64 (*told_steps)(const ContentSettings *settings);
    /*
     * The cipher of a step. kid is the frame's (of told steps: the one which this step has). NULL when the provider
     * refuses. Any thread; used on one only.
     */
    ContentCipher *(*derive)(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                             gsize bytes, guint64 kid);
    void (*free_cipher)(ContentCipher *cipher);
    /* The next step's material; how many bytes it is, 0 when the provider refuses. Any thread. NULL: no ratchet. */
    gsize (*ratchet)(const StenoContentFormat *format, const ContentSettings *settings, const guint8 *material,
                     gsize bytes, guint8 *next);
    /*
     * OPENED with what was written to out (at most frame->bytes; it may be used as scratch), or BAD_KEY. Nothing
     * counts as output before the tag was right. Packet path: allocates nothing, takes no lock.
     */
    StenoContentOutcome (*open)(ContentCipher *cipher, const ContentFrame *frame, guint8 *out, gsize *bytes);
};

extern const StenoContentFormat content_livekit, content_jitsi;
extern const StenoContentFormat content_sframe, content_sframe_packet;
extern const StenoContentFormat content_aes_128_gcm, content_aes_256_gcm, content_aes_128_gcm2, content_aes_256_gcm2,
    content_aes_128_xts, content_aes_256_xts, content_aes_128_ecb, content_sm4_128_ecb;

/* ---- keys of a set, for the ring --------------------------------------------------------------------------------- */

typedef struct {
    char *participant; /* NULL: everybody's */
    guint64 kid;
    const guint8 *material; /* in the set's locked memory */
    gsize material_bytes;
} ContentKey;

const StenoContentFormat *content_keys_format(const StenoContentKeys *keys);
/* In a box of g_atomic_rc_box; content_settings_unref() is what it is freed with. */
ContentSettings *content_keys_settings(const StenoContentKeys *keys);
void content_settings_unref(ContentSettings *settings);
const ContentKey *content_keys_at(const StenoContentKeys *keys, guint index);

#endif
