/*
 * janus_api: one session with a Janus over its HTTP API: requests, transactions, and the one long poll that brings
 * events. Knows nothing of rooms.
 */
#ifndef STENO_CHANNEL_JANUS_API_H
#define STENO_CHANNEL_JANUS_API_H

#include "http.h"
#include "janus_credentials.h"

#include <jansson.h>

/* Codes of Janus' core (apierror.h) and of its VideoRoom plug-in that mean something to us. */
enum {
    JANUS_UNAUTHORIZED = 403,
    JANUS_UNAUTHORIZED_PLUGIN = 405,
    JANUS_SESSION_NOT_FOUND = 458,
    JANUS_HANDLE_NOT_FOUND = 459,
    JANUS_PLUGIN_NOT_FOUND = 460,
    VIDEOROOM_NO_SUCH_ROOM = 426,
    VIDEOROOM_NO_SUCH_FEED = 428,
    VIDEOROOM_MISSING_ELEMENT = 429,
    VIDEOROOM_INVALID_ELEMENT = 430,
    VIDEOROOM_UNAUTHORIZED = 433,
};

typedef struct JanusApi JanusApi;

/* What came back. All lent. error is set when it failed; code is then Janus' own, 0 when it did not get that far. */
typedef struct {
    json_t *data; /* of the plug-in, or of the core */
    json_t *jsep; /* NULL: none */
    int code;
    const GError *error;
} JanusReply;

typedef void (*JanusReplied)(gpointer user, const JanusReply *reply);

typedef struct {
    /* Around everything below, so that its owner lives until the last of them has returned. */
    void (*enter)(gpointer user);
    void (*leave)(gpointer user);
    /* The session is there. */
    void (*created)(gpointer user);
    /* An event that answers no request of ours; handle is its sender, 0 for the session. */
    void (*event)(gpointer user, gint64 handle, json_t *event);
    /* The session could not be created, or is gone. Nothing follows; free it. */
    void (*lost)(gpointer user, int code, const GError *error);
} JanusApiEvents;

/* Creates a session at base_url. All is lent and must outlive it. */
JanusApi *janus_api_new(StenoHttp *http, GMainContext *context, const char *base_url, JanusCredentials *credentials,
                        const StenoLog *log, const JanusApiEvents *events, gpointer user);
/* No callback comes any more. */
void janus_api_silence(JanusApi *api);
/* Silences and frees; the session is left to die by its time-out (or destroyed before). */
void janus_api_free(JanusApi *api);
/* Destroys the session, blocking for at most timeout_ms. */
void janus_api_destroy(JanusApi *api, guint timeout_ms);

/* Attaches to the VideoRoom plug-in; the reply's data holds the handle's "id". */
void janus_api_attach(JanusApi *api, JanusReplied replied, gpointer user);
/* Nobody waits for the answer. */
void janus_api_detach(JanusApi *api, gint64 handle);
/* A message to the plug-in; replied (may be NULL) comes with its answer or event. Takes body and jsep (may be NULL). */
void janus_api_message(JanusApi *api, gint64 handle, json_t *body, json_t *jsep, JanusReplied replied, gpointer user);
/* Whoever waits with this user does not any more. */
void janus_api_forget(JanusApi *api, gpointer user);
/* To be called about each second: answers that did not come in time become errors. */
void janus_api_tick(JanusApi *api);

/* Puts a secret into a JSON object that is then given to janus_api_message(), which wipes it. NULL: nothing. */
void janus_set_secret(json_t *object, const char *name, const char *secret);

#endif
