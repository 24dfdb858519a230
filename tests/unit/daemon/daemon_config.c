#include "daemon_config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char text[] =
    "state_dir = \"@/state\"; spool_dir = \"@/spool\"; runtime_dir = \"@/run\";\n"
    "log_level = \"error\";\n"
    "api = { socket = \"@/run/api.sock\"; socket_group = \"root\"; };\n"
    "limits = { max_recordings = 3; refuse_below_percent = 0; finish_below_percent = 0; };\n"
    "platforms = (\n"
    "  { name = \"janus-1\"; url = \"https://sfu.example/janus\"; token_secret_file = \"@/secret\"; },\n"
    "  { name = \"janus-2\"; url = \"https://sfu2.example/janus\"; },\n"
    "  { name = \"files\"; connector = \"sdp\"; url = \"@\"; }\n"
    ");\n"
    "storages = ( { name = \"primary\"; root = \"@/primary\"; },\n"
    "  { name = \"second\"; root = \"@/second\"; } );\n"
    "webhooks = ( { name = \"ward-7\"; url = \"https://127.0.0.1:1/\"; allow_private = true; },\n"
    "  { name = \"ward-8\"; url = \"https://127.0.0.1:1/\"; allow_private = true; } );\n"
    "key_sources = ( { name = \"files\"; path = \"@/keys\"; },\n"
    "  { name = \"vault\"; type = \"vault\"; url = \"http://127.0.0.1:1\"; mount = \"kv\"; secret_file = \"@/secret\"; "
    "} );\n"
    "apps = (\n"
    "  { name = \"clinic\"; webhooks = [ \"ward-7\", \"ward-8\" ]; webhook = \"ward-7\"; },\n"
    "  { name = \"court\"; platforms = [ \"janus-1\" ]; storages = [ \"second\" ];\n"
    "    max_recordings = 1; max_duration_s = 600; },\n"
    "  { name = \"archive\"; storages = [ \"primary\", \"second\" ]; store = \"all\"; rotate = \"10m\";\n"
    "    rotate_join = true; },\n"
    "  { name = \"bank\"; storages = [ \"second\", \"primary\" ]; store = \"first\"; },\n"
    "  { name = \"ward\"; content = \"livekit\"; keys = \"files\"; key_sources = [ \"files\" ]; inline_keys = "
    "\"once\";\n"
    "    never_record = [ \"board-*\", \"17\" ]; fail_on_undecryptable_s = 30;\n"
    "    output_encryption = \"cenc\"; output_key_file = \"@/cenc\"; }\n"
    ");\n";

static void write_file(const char *folder, const char *name, const char *contents)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    if (!g_file_set_contents_full(path, contents, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
        g_error("%s", error->message);
}

StenoConfig *daemon_config_new(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "steno.conf", NULL);
    g_auto(GStrv) pieces = g_strsplit(text, "@", -1);
    g_autofree char *whole = g_strjoinv(folder, pieces);
    g_autoptr(GError) error = NULL;
    write_file(folder, "secret", "token-secret-of-the-tests\n");
    write_file(folder, "cenc", DAEMON_CONFIG_OUTPUT_KEY "\n");
    for (const char *const *name = (const char *const[]){"primary", "second", "run", NULL}; *name; name++) {
        g_autofree char *made = g_build_filename(folder, *name, NULL);
        (void)g_mkdir(made, 0700);
    }
    write_file(folder, "steno.conf", whole);
    StenoConfig *config = steno_config_load(path, &error);
    if (!config)
        g_error("%s", error->message);
    return config;
}
