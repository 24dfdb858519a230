/*
 * s3_server: an S3 server on 127.0.0.1 that plays a script: which requests must come, in order, and what each is
 * answered. For what real servers do not do when they are asked to.
 */
#ifndef STENO_TEST_S3_SERVER_H
#define STENO_TEST_S3_SERVER_H

#include <glib.h>

typedef enum {
    S3_STEP_ANSWER,
    S3_STEP_CLOSE, /* read the request, close the connection (behind `answer`, when there is one) */
    S3_STEP_HANG   /* never answer */
} S3StepKind;

typedef struct {
    const char *request; /* the request line begins so: "PUT /bucket/key" */
    const char *status;  /* "200 OK" */
    const char *headers; /* "Name: value\r\n…", or NULL; Content-Length is added unless it is there */
    const char *body;    /* or NULL */
    S3StepKind kind;
    gboolean any_number; /* of such requests, or none */
} S3Step;

typedef struct S3Server S3Server;

/* steps end with a request of NULL, and live longer. */
S3Server *s3_server_start(const S3Step *steps);
/* Fails the test when a request was another one than the script's, or when steps are left. */
void s3_server_stop(S3Server *server);
guint16 s3_server_port(const S3Server *server);

/* Of the request of this step (from 0): head() with all headers, as it came; body() its bytes. Lent. */
const char *s3_server_head(S3Server *server, guint step);
GBytes *s3_server_body(S3Server *server, guint step);
/* A header's value; NULL: none. Caller frees. */
char *s3_server_header(S3Server *server, guint step, const char *name);
/* Waits until so many requests have come, 20 s at most. */
void s3_server_await(S3Server *server, guint requests);

#endif
