#include "source_kind.h"

#include <jansson.h>

static json_t *text_or_null(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;
    return json ? json : json_null();
}

char *source_question_text(const SourceSettings *settings, const SourceQuestion *question)
{
    json_t *json = json_object();
    json_object_set_new(json, "app", text_or_null(settings->app));
    json_object_set_new(json, "channel", text_or_null(settings->channel));
    json_object_set_new(json, "recording", text_or_null(settings->recording));
    json_object_set_new(json, "participant", text_or_null(question->participant));
    /* As text: a kid has 64 bits, and numbers of JSON often 53. */
    json_object_set_new(json, "kid",
                        question->participant ? json_sprintf("%" G_GUINT64_FORMAT, question->kid) : json_null());
    json_object_set_new(json, "format", json_string(steno_content_format_name(settings->format)));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}
