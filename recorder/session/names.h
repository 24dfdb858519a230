/*
 * Names of hosts, looked up by the agent: a confined recorder has neither the files nor the sockets that the C library
 * needs for it. names.c defines getaddrinfo() for the whole program, curl and GLib included.
 */
#ifndef SESSION_NAMES_H
#define SESSION_NAMES_H

#include <glib.h>

/* So many lookups at once: platform, STUN, TURN and key service; more wait. */
#define NAMES_LANES 4

/* In the recorder: from here on names are asked for over these sockets (SOCK_SEQPACKET). */
void names_ask(const int lanes[NAMES_LANES]);

/* In the agent: serves one lane until it is closed. */
void names_serve(int lane);

#endif
