/* A storage at a scripted server, and a file to put. */
#ifndef STENO_TEST_S3_FIXTURE_H
#define STENO_TEST_S3_FIXTURE_H

#include "s3_server.h"

#include "steno/base/error.h"
#include "steno/storage.h"

/* What `hello` is in requests and answers. */
#define HELLO "hello"
#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_MD5 "5d41402abc4b2a76b9719d911017c592"

/* Steps that many tests have. */
#define HEAD_NOTHING                                                                                                   \
    {                                                                                                                  \
        "HEAD /bucket/key ", "404 Not Found"                                                                           \
    }
#define HEAD_HELLO                                                                                                     \
    {                                                                                                                  \
        "HEAD /bucket/key ", "200 OK",                                                                                 \
            "Content-Length: 5\r\nETag: \"" HELLO_MD5 "\"\r\nx-amz-meta-steno-sha256: " HELLO_SHA256 "\r\n"            \
    }
#define PUT_HELLO                                                                                                      \
    {                                                                                                                  \
        "PUT /bucket/key ", "200 OK", "ETag: \"" HELLO_MD5 "\"\r\n"                                                    \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        NULL                                                                                                           \
    }
#define XML_ERROR(code) "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>words</Message></Error>"

typedef struct {
    S3Server *server;
    StenoConfig *config;
    StenoConfigStorage *settings;
    StenoStore *store;
    char *folder, *source, *keys, *memo;
    guint troubles;
    GError *error; /* of the last call */
} S3Fixture;

/* edit() may change the settings. part_bytes is 5 MiB, parallel 1, checksum md5. */
S3Fixture *s3_fixture_new(const S3Step *steps, void (*edit)(StenoConfigStorage *settings));
/* Stops the server, which judges the script. */
void s3_fixture_free(S3Fixture *fixture);

void s3_fixture_write(const S3Fixture *fixture, const char *contents, gsize bytes);
/* Puts the source as "key", and compares with the error that is expected (-1: none). */
void s3_fixture_put(S3Fixture *fixture, const char *sha256_hex, int expected);
void s3_fixture_put_hello(S3Fixture *fixture, int expected);
/* The same for whatever has left fixture->error. */
void s3_fixture_expect(const S3Fixture *fixture, gboolean done, int expected);
void s3_fixture_said(const S3Fixture *fixture, const char *words);

#endif
