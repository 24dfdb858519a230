/*
 * assemble: captures → participant files and the manifest. A pure function of the capture: same capture in, same bytes
 * out; can be run again at any time, also on what a crash left.
 */
#ifndef STENO_ASSEMBLE_H
#define STENO_ASSEMBLE_H

#include "steno/base/log.h"
#include "steno/base/secret.h"

#include <jansson.h>

typedef enum { STENO_OUTPUTS_PARTICIPANT, STENO_OUTPUTS_TRACK } StenoOutputs;
typedef enum { STENO_AUDIO_COPY, STENO_AUDIO_AAC } StenoAudio;

typedef enum { STENO_OUTPUT_PLAIN, STENO_OUTPUT_CMS, STENO_OUTPUT_CENC } StenoOutputEncryption;

typedef struct {
    /* The folder; or that of a finished recording with sealed outputs, all of which is then assembled as one. */
    const char *capture;
    const char *output; /* folder for files and manifest.json; made if missing; what we write there is replaced */
    /*
     * 0: what is left for the end, and manifest.json of the whole recording: all parts in one, when nothing was rotated
     * or `join`; else the last section, whose manifest takes in those of the sections before (section-NNNN.json).
     * N: section N alone, as "<name>.<NNN>.<extension>" and manifest.<NNN>.json. Files of sections start counting at
     * their section's begin; outputs tell section and zero_us.
     */
    guint section;
    gboolean join;
    StenoOutputs outputs;
    StenoAudio audio;
    /*
     * Sealed files (capture.h) are decrypted with these keys: called at most once, when it is known whose keys are
     * needed, and only when any are. The text of a key set (content.h), or NULL: there are none. What cannot be
     * decrypted is told as gaps (no-key, bad-key), and its sealed files become outputs of kind "sealed", from which
     * steno_assemble_unpack_sealed() makes a capture again when the key is there. May be NULL: no keys.
     */
    StenoSecret *(*keys)(gpointer user, const json_t *wanted);
    gboolean sealed; /* keys = later: sealed files are meant to be there, and no error */
    /* Encrypts every media file for storage (envelope.h; CENC: libavformat, MP4 alone). */
    StenoOutputEncryption encryption;
    const char *const *recipients; /* CMS: paths of PEM certificates, NULL-terminated */
    const StenoSecret *output_key; /* CENC: "KID:KEY", 32 hex digits each */
    const StenoLog *log;
    /* Called now and then with 0.0–1.0; may be NULL. */
    void (*progress)(gpointer user, double done);
    gpointer user;
} StenoAssembleOptions;

/*
 * Makes the files and, last, the manifest (temporary name, fsync, rename). *manifest (may be NULL) is the caller's.
 * NOTHING_RECORDED when no track holds a frame: the manifest is written all the same, and of a section, in which nobody
 * needs to have said anything, it is to be kept. NOT_FOUND: there is no such section. CONFLICT: what is asked for needs
 * parts that are gone, or a section before the last one that is not stored yet. CAPTURE_DAMAGED, STORAGE_*. NO_KEY,
 * BAD_KEY: there are only sealed frames, and none could be decrypted: the manifest and the sealed files are written
 * all the same (not with `sealed`: then that is a success). KEYS_INVALID. USAGE: a recipient's certificate cannot be
 * read, or a codec cannot be encrypted so (VP8 has no place in MP4).
 */
gboolean steno_assemble(const StenoAssembleOptions *options, json_t **manifest, GError **error);

/*
 * Is this the folder of a finished recording with sealed outputs (as `steno get` brings it)? Then puts the capture that
 * they are of together again, in folder `capture`, which is made (links or copies). FALSE without an error: it is none.
 */
gboolean steno_assemble_unpack_sealed(const char *folder, const char *capture, GError **error);

/* "manifest.json", or of a section "manifest.<NNN>.json". The caller's. */
char *steno_manifest_name(guint section);

typedef struct {
    /* A file is not what the manifest says. */
    void (*fault)(gpointer user, const char *file, const char *words);
    /* The manifest itself says that something is wrong with what was captured: no fault, but not to be hidden. */
    void (*problem)(gpointer user, const char *words);
    /* A file is encrypted or sealed, and was checked only as far as that is possible without its key. May be NULL. */
    void (*note)(gpointer user, const char *file, const char *words);
} StenoVerifyEvents;

/*
 * Checks a finished recording against its manifest.json, and those of its sections beside it against both: schema,
 * size, SHA-256, that each file opens and its duration and tracks are as told, no foreign or missing files. Signatures
 * and timestamps (proof.h) are known, but not checked here. VERIFY_FAILED when there was a fault.
 */
gboolean steno_verify(const char *folder, const StenoVerifyEvents *events, gpointer user, GError **error);

/* Is the text a lawful manifest (docs/manifest.schema.json)? VERIFY_FAILED with a JSON pointer. The caller owns it. */
json_t *steno_manifest_parse(const char *text, gsize bytes, GError **error);

#endif
