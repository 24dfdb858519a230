/*
 * scope: what of a capture is asked for: all of it, one section, or what is left for the end.
 */
#ifndef STENO_ASSEMBLE_SCOPE_H
#define STENO_ASSEMBLE_SCOPE_H

#include "model.h"

#include "steno/assemble.h"
#include "steno/capture.h"

typedef struct {
    ModelScope model;
    GArray *sections;                   /* of StenoCaptureSection: all */
    const StenoCaptureSection *section; /* the one that was asked for; NULL: the whole recording */
    json_t *stored; /* manifests of the sections that are stored and go into that of the whole, in order */
} Scope;

/* Looks at the capture. Errors as steno_assemble(). scope_clear() it, also after a failure. */
gboolean scope_find(const StenoAssembleOptions *options, Scope *scope, GError **error);
void scope_clear(Scope *scope);

#endif
