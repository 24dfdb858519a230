/*
 * The channel's own AES, on the network thread. A track of an encrypted channel has a Decryption, which stands between
 * codec and capture (whole frames are encrypted) or between rtp and codec (RTP payloads are). What opens goes on in
 * the clear; what does not is sealed (steno/capture.h).
 *
 * A track is sealed or clear. It becomes sealed with the first frame that does not open, and clear again with the first
 * that opens and can be begun with: of sound any, of a picture a key frame; until then all are sealed, also those that
 * would open. So each frame is in a sealed file or in a clear one, and a clear one begins with a key frame.
 */
#ifndef STENO_SESSION_DECRYPT_H
#define STENO_SESSION_DECRYPT_H

#include "session_internal.h"

/* ---- what goes where (decrypt.c, decrypt_packets.c) -------------------------------------------------------------- */

/* A track of this participant begins; its net's ring is there. */
void session_decrypt_begin(NetTrack *track, const char *participant);
/* It has ended, and was flushed: what is not told yet is, and nobody waits for its keys any more. */
void session_decrypt_end(NetTrack *track);
void session_decrypt_free(Decryption *decryption);

/* What follows is of this codec; config.opaque is set as its depacketizer needs it. */
void session_decrypt_set_codec(Decryption *decryption, StenoDepacketizerConfig *config);
/* RTP payloads are encrypted, not frames. */
gboolean session_decrypt_is_per_packet(const Decryption *decryption);
/* The depacketizer's sink; user is the track. */
void session_decrypt_frame(gpointer user, StenoFrame *frame);
/* Per packet: the next one, which is taken. May end the track's depacketizer. */
void session_decrypt_packet(NetTrack *track, StenoPacket *packet);
/* Per packet: these are missing. FALSE: it is the depacketizer's business to tell that. */
gboolean session_decrypt_gap(NetTrack *track, gint64 first_seq, gint64 last_seq, gint64 rtp_ts, gint64 until_rtp_ts,
                             StenoGapCause cause);
/* The stream ends or begins anew: what is half put together comes to its end. */
void session_decrypt_flush(NetTrack *track);
/* …and, after that, what follows begins with a key frame. */
void session_decrypt_break(NetTrack *track);
bool session_decrypt_needs_keyframe(const NetTrack *track);
/* Adds what the depacketizer cannot know. */
void session_decrypt_add_stats(const Decryption *decryption, StenoDepacketizerStats *stats);
guint64 session_decrypt_sealed(const Decryption *decryption);
/* The track goes on in another part. How many were sealed until now. */
guint64 session_decrypt_change_over(Decryption *decryption);

/* ---- what these share -------------------------------------------------------------------------------------------- */

/* Frames of a track that do not open, by key id and cause. */
typedef struct {
    guint64 kid;
    gboolean has_kid;
    StenoContentOutcome cause;
    gint64 since_us, last_us; /* arrival of the first and of the last frame */
    gboolean over;            /* frames of this key id open by now */
    gboolean told, wanted;
} Trouble;

struct Decryption {
    NetTrack *track;
    char *participant;
    StenoContentOpener *opener;
    StenoDepacketizerConfig config; /* fmtp is ours */
    gboolean sealed;
    gboolean opens;   /* what came last did */
    guint64 n_sealed; /* frames, or packets */

    /* Per frame. While sealed, it is on trial: what opens goes in, and it is sealed all the same until a frame comes
     * out. Per packet, the depacketizer is. NULL until it is needed. */
    StenoInspector *inspector;
    StenoFrame *format; /* of what is on trial */

    /* Per packet: as they came, those of the frame that is being put together; they are sealed if it does not open as a
     * whole. */
    StenoPacket *kept, *kept_last;
    guint n_kept;
    gboolean fed;       /* the depacketizer on trial has had a packet */
    gboolean ending;    /* what the depacketizer puts out is only told, as far as it lies before… */
    gint64 sealed_from; /* …this sequence number */

    /* A track that goes back and forth stays sealed for longer and longer: each change costs a file. */
    gint64 clear_since_us, hold_us, clear_again_us;
    guint n_changes; /* in this part */

    /* trouble.c */
    gint64 sealed_since_us;
    guint64 sealed_before;               /* n_sealed, then */
    gint64 failing_since_us, failing_us; /* nothing has opened from the first to the last; 0: it does */
    Trouble failing;                     /* the last one */
    Trouble troubles[SESSION_TROUBLES_MAX];
    guint n_troubles;
    gint64 deriving_since_us; /* it has a key whose steps are still being derived; 0: not */
    gboolean told, given_up;
};

/* decrypt.c */
/* Takes a frame (or a packet as steno/capture.h has it) as it came. */
void session_decrypt_seal(Decryption *decryption, StenoFrame *frame);
/* The first frame that can be begun with: the track is clear from here on. */
void session_decrypt_unseal(Decryption *decryption, StenoFrame *frame);

/* decrypt_packets.c */
/* The depacketizer emitted this frame: what is in it is not kept any more. */
void session_decrypt_release(Decryption *decryption, const StenoFrame *frame);
/* Ends the depacketizer of a clear track which becomes sealed with what is kept. */
void session_decrypt_end_packets(Decryption *decryption);
/* Before a track becomes clear with this frame: what was on trial before it is sealed. */
void session_decrypt_settle(Decryption *decryption, const StenoFrame *frame);

/* ---- what is told and asked for (trouble.c) ---------------------------------------------------------------------- */

/* What became of a frame that arrived then. */
void session_trouble_note(Decryption *decryption, StenoContentOutcome outcome, const StenoContentOpened *opened,
                          gint64 arrival_us);
/* The track has become clear. */
void session_trouble_over(Decryption *decryption);
void session_trouble_tick(Decryption *decryption, gint64 now_us);
/* Nothing more comes. */
void session_trouble_end(Decryption *decryption);

#endif
