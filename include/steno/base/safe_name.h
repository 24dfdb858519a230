/*
 * Names that are safe as one path component everywhere: Unix, Windows shares, object stores, shells.
 */
#ifndef STENO_BASE_SAFE_NAME_H
#define STENO_BASE_SAFE_NAME_H

#include <glib.h>

/* Leaves room for "-2", an extension and a temporary suffix below the 255 bytes of every file system. */
#define STENO_SAFE_NAME_MAX_BYTES 100

/*
 * The name made safe: valid UTF-8 in NFC; no '/', none of \:*?"<>|, no control, format or unassigned characters (each
 * becomes '_'); no leading '.', '-' or space, no trailing '.' or space; no device name of Windows; at most
 * STENO_SAFE_NAME_MAX_BYTES, cut between characters. "unnamed" when nothing is left. Caller frees.
 */
char *steno_safe_name(const char *name);

#endif
