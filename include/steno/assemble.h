/*
 * assemble: captures → participant files and the manifest. A pure function of the capture: same capture in, same bytes
 * out; can be run again at any time, also on what a crash left.
 */
#ifndef STENO_ASSEMBLE_H
#define STENO_ASSEMBLE_H

#include "steno/base/log.h"

#include <jansson.h>

typedef enum { STENO_OUTPUTS_PARTICIPANT, STENO_OUTPUTS_TRACK } StenoOutputs;
typedef enum { STENO_AUDIO_COPY, STENO_AUDIO_AAC } StenoAudio;

typedef struct {
    const char *capture; /* the folder */
    const char *output;  /* folder for files and manifest.json; made if missing; what we write there is replaced */
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
    const StenoLog *log;
    /* Called now and then with 0.0–1.0; may be NULL. */
    void (*progress)(gpointer user, double done);
    gpointer user;
} StenoAssembleOptions;

/*
 * Makes the files and, last, the manifest (temporary name, fsync, rename). *manifest (may be NULL) is the caller's.
 * NOTHING_RECORDED when no track holds a frame: the manifest is written all the same, and of a section, in which nobody
 * needs to have said anything, it is to be kept. NOT_FOUND: there is no such section. CONFLICT: what is asked for needs
 * parts that are gone, or a section before the last one that is not stored yet. CAPTURE_DAMAGED, STORAGE_*.
 */
gboolean steno_assemble(const StenoAssembleOptions *options, json_t **manifest, GError **error);

/* "manifest.json", or of a section "manifest.<NNN>.json". The caller's. */
char *steno_manifest_name(guint section);

typedef struct {
    /* A file is not what the manifest says. */
    void (*fault)(gpointer user, const char *file, const char *words);
    /* The manifest itself says that something is wrong with what was captured: no fault, but not to be hidden. */
    void (*problem)(gpointer user, const char *words);
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
