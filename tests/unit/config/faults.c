/* Every kind of fault is refused, with file and line, and all of them at once. */
#include "folder.h"

#include "steno/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file for CENC, without its first digit. */
#define OUTPUT_KEY_TAIL "0112233445566778899aabbccddeeff:ffeeddccbbaa99887766554433221100"
#define OUTPUT_KEY "0" OUTPUT_KEY_TAIL

/* Texts with one fault each, and the beginning of what must be said about it, and only it. */
static const struct {
    const char *text, *fault;
} faults[] = {
    /* Language. */
    {"\n\ninstance = ;", "steno.conf:3: syntax error"},
    {"instance = \"a\";\ninstance = \"b\";", "steno.conf:2: duplicate setting name"},
    {"api = {\n  rate_per_s = 1;\n  rate_per_s = 2;\n};", "steno.conf:3: duplicate setting name"},
    {"\ninstance = \"steno;\nlog_level = \"info\";\n", "steno.conf:2: the text that begins here has no end"},
    {"\ninstance = \"a\nb\";\n", "steno.conf:2: the text that begins here has no end"},
    {"instance = \"steno", "steno.conf:1: the text that begins here has no end"},
    {"instance = \"steno\\\"", "steno.conf:1: the text that begins here has no end"},
    {"\n/* a\n\n", "steno.conf:2: the comment that begins here has no end"},
    {"\ninstance = \"\xff\";", "steno.conf:2: is not UTF-8 here"},
    {"instance = \"\\xff\";", "steno.conf:1: instance: is not UTF-8"},
    {"instance = \"a\\x07\";", "steno.conf:1: instance: holds a control character"},
    {"\napps = ((((((((((", "steno.conf:2: groups and lists lie in each other too deep"},
    {"limits = {\n assemblies = 99999999999999999999; };", "steno.conf:2: a number is too large"},
    /* Includes. */
    {"\n@include \"gone.conf\"\n", "steno.conf:2: @include: '"},
    {"@include \"steno.conf\"\n", "steno.conf:1: @include: 'steno.conf' is included 10 files deep"},
    {"@include \"*/x.conf\"\n", "steno.conf:1: @include: '*/x.conf' has * or ? in the name of a folder"},
    {"apps = (\n@include \"a.conf\"\n);", "steno.conf:2: an include must stand on a line of its own"},
    {"instance = \"a\"; @include \"a.conf\"\n", "steno.conf:1: an include must stand on a line of its own"},
    {"@include \"a.conf\" instance = \"a\";\n", "steno.conf:1: an include must stand on a line of its own"},
    {"@include \"\"\n", "steno.conf:1: an include must stand on a line of its own"},
    {"@include a.conf\n", "steno.conf:1: an include must stand on a line of its own"},
    {"\n@ \n", "steno.conf:2: an include must stand on a line of its own"},
    /* Keys that nobody knows. */
    {"\nbogus = 1;", "steno.conf:2: 'bogus' is not known, but must be one of: instance, state_dir, "},
    {"api = {\n bogus = 1;\n};", "steno.conf:2: api: 'bogus' is not known, but must be one of: listen, "},
    {"storages = ( { name = \"a\"; root = \"/a\"; }, { name = \"b\";\n root = \"/b\"; url = \"x\"; } );",
     "steno.conf:2: storages: 'url' is not known, but must be one of: name, type, key, "},
    {"rate_per_s = 1;", "steno.conf:1: 'rate_per_s' is not known"},
    /* Types. */
    {"instance = 1;", "steno.conf:1: instance: is a whole number, but must be text in quotes"},
    {"mask_participants = \"yes\";", "steno.conf:1: mask_participants: is text in quotes, but must be true or false"},
    {"mask_participants = 1;", "steno.conf:1: mask_participants: is a whole number, but must be true or false"},
    {"limits = { stall_s = 1.5; };",
     "steno.conf:1: limits.stall_s: is a number with a fraction, but must be a whole number, 2 to 3600"},
    {"limits = { stall_s = \"10\"; };",
     "steno.conf:1: limits.stall_s: is text in quotes, but must be a whole number, 2 to 3600"},
    {"limits = { stall_s = true; };", "steno.conf:1: limits.stall_s: is true or false, but must be"},
    {"api = { listen = \"127.0.0.1:1\"; };",
     "steno.conf:1: api.listen: is text in quotes, but must be a list of texts"},
    {"api = {\n\n listen = [ 1, 2 ]; };",
     "steno.conf:3: api.listen: holds a whole number, but must be a list of texts"},
    {"api = { listen = ( { } ); };", "steno.conf:1: api.listen: holds a group { … }, but must be a list of texts"},
    {"api = \"x\";", "steno.conf:1: api: must be a group: { … }"},
    {"api = ( );", "steno.conf:1: api: must be a group: { … }"},
    {"apps = { name = \"a\"; };", "steno.conf:1: apps: must be a list of groups"},
    {"apps = [ \"a\" ];", "steno.conf:1: apps: must be a list of groups"},
    {"apps = (\n \"a\" );", "steno.conf:2: apps: holds something that is no group"},
    {"state_dir = { };", "steno.conf:1: state_dir: is a group { … }, but must be text in quotes"},
    {"apps = ( { name = \"a\"; retention_bytes = 1.0; } );",
     "steno.conf:1: apps.retention_bytes: is a number with a fraction"},
    /* Ranges, words, forms. */
    {"limits = { stall_s = 1; };", "steno.conf:1: limits.stall_s: is 1, but must be 2 to 3600"},
    {"limits = { stall_s = 3601; };", "steno.conf:1: limits.stall_s: is 3601, but must be 2 to 3600"},
    {"limits = { stall_s = -5; };", "steno.conf:1: limits.stall_s: is -5, but must be 2 to 3600"},
    /* 4294967306 is 10 in 32 bits, and so is 0x10000000A. */
    {"limits = { stall_s = 4294967306; };", "steno.conf:1: limits.stall_s: is 4294967306, but must be 2 to 3600"},
    {"limits = { stall_s = 0x10000000A; };", "steno.conf:1: limits.stall_s: is 4294967306, but must be 2 to 3600"},
    {"log_level = \"loud\";",
     "steno.conf:1: log_level: is 'loud', but must be one of: error, warning, notice, info, debug, trace"},
    {"log_level = \"\";", "steno.conf:1: log_level: is empty, but must be given (default: \"notice\")"},
    {"state_dir = \"\";", "steno.conf:1: state_dir: is empty, but must be given"},
    {"state_dir = \"var\";", "steno.conf:1: state_dir: is 'var', but must be an absolute path"},
    {"state_dir = \"/a/../b\";", "steno.conf:1: state_dir: is '/a/../b', but must be an absolute path"},
    {"state_dir = \"/a/./b\";", "steno.conf:1: state_dir: is '/a/./b', but must be"},
    {"state_dir = \"/a//b\";", "steno.conf:1: state_dir: is '/a//b', but must be"},
    {"state_dir = \"/a/\";", "steno.conf:1: state_dir: is '/a/', but must be"},
    {"runtime_dir = \"/2345678901234567890123456789012345678901234567890123456789012345\";",
     "steno.conf:1: runtime_dir: has 65 bytes, but must have at most 64"},
    {"instance = \"a b\";", "steno.conf:1: instance: is 'a b', but must be 1 to 64 letters"},
    {"instance = \"ä\";", "steno.conf:1: instance: is 'ä', but must be 1 to 64 letters"},
    {"apps = ( { name = \"..\"; } );", "steno.conf:1: apps.name: is '..', but must be 1 to 64 letters"},
    {"apps = ( { name = \".a\"; } );", "steno.conf:1: apps.name: is '.a', but must be"},
    {"apps = ( { name = \"-a\"; } );", "steno.conf:1: apps.name: is '-a', but must be"},
    {"apps = ( { name = \"a.\"; } );", "steno.conf:1: apps.name: is 'a.', but must be"},
    {"apps = ( { name = \"a/b\"; } );", "steno.conf:1: apps.name: is 'a/b', but must be"},
    {"apps = ( { name = \"nul\"; } );", "steno.conf:1: apps.name: is 'nul', but must be"},
    {"apps = ( { name = \"a2345678901234567890123456789012345678901234567890123456789012345\"; } );",
     "steno.conf:1: apps.name: is 'a2345678901234567890123456789012345678901234567890123456789012345', but must be"},
    {"apps = ( { name = \"\"; } );", "steno.conf:1: apps.name: is empty, but must be given"},
    {"apps = ( { name = \"a\"; retention_bytes = \"5Q\"; } );",
     "steno.conf:1: apps.retention_bytes: is '5Q', but must be a whole number of bytes"},
    {"apps = ( { name = \"a\"; retention_bytes = \"5GB\"; } );", "steno.conf:1: apps.retention_bytes: is '5GB', but"},
    {"apps = ( { name = \"a\"; retention_bytes = \"G\"; } );", "steno.conf:1: apps.retention_bytes: is 'G', but"},
    {"apps = ( { name = \"a\"; retention_bytes = \"-1\"; } );", "steno.conf:1: apps.retention_bytes: is '-1', but"},
    {"apps = ( { name = \"a\"; retention_bytes = \"9999999999T\"; } );",
     "steno.conf:1: apps.retention_bytes: is '9999999999T', but"},
    {"apps = ( { name = \"a\"; retention_bytes = -1; } );",
     "steno.conf:1: apps.retention_bytes: is -1, but must be 0 or more"},
    {"api = { listen = [ \"127.0.0.1\" ]; };", "steno.conf:1: api.listen: is '127.0.0.1', but must be HOST:PORT"},
    {"api = { listen = [ \":1\" ]; };", "steno.conf:1: api.listen: is ':1', but must be HOST:PORT"},
    {"api = { listen = [ \"a:0\" ]; };", "steno.conf:1: api.listen: is 'a:0', but must be HOST:PORT"},
    {"api = { listen = [ \"a:65536\" ]; };", "steno.conf:1: api.listen: is 'a:65536', but must be HOST:PORT"},
    {"api = { listen = [ \"a:+1\" ]; };", "steno.conf:1: api.listen: is 'a:+1', but must be HOST:PORT"},
    {"api = { listen = [ \"1.2.3.256:1\" ]; };", "steno.conf:1: api.listen: is '1.2.3.256:1', but must be HOST:PORT"},
    {"api = { listen = [ \"::1:8443\" ]; };", "steno.conf:1: api.listen: is '::1:8443', but must be HOST:PORT"},
    {"api = { listen = [ \"[1.2.3.4]:1\" ]; };", "steno.conf:1: api.listen: is '[1.2.3.4]:1', but must be HOST:PORT"},
    {"api = { listen = [ \"[::1:1\" ]; };", "steno.conf:1: api.listen: is '[::1:1', but must be HOST:PORT"},
    {"api = { listen = [ \"a b:1\" ]; };", "steno.conf:1: api.listen: is 'a b:1', but must be HOST:PORT"},
    {"api = { listen = [ \"a:1\", \"a:1\" ]; };", "steno.conf:1: api.listen: holds 'a:1' twice"},
    {"api = { listen = [ \"\" ]; };", "steno.conf:1: api.listen: holds an empty text"},
    {"api = { listen = "
     "[\"a:1\",\"a:2\",\"a:3\",\"a:4\",\"a:5\",\"a:6\",\"a:7\",\"a:8\",\"a:9\",\"b:1\",\"b:2\",\"b:3\","
     "\"b:4\",\"b:5\",\"b:6\",\"b:7\",\"b:8\"]; };",
     "steno.conf:1: api.listen: has 17 entries, but must have at most 16"},
    /* The whole. */
    {"limits = { finish_below_percent = 11; };",
     "steno.conf:1: limits.finish_below_percent: is 11, but must be at most refuse_below_percent (10)"},
    {"limits = {\n refuse_below_percent = 2; };",
     "steno.conf:2: limits.refuse_below_percent: is 2, but must be at least finish_below_percent (3)"},
    {"apps = (\n { } );", "steno.conf:2: apps.name: is missing, but must be given"},
    {"storages = ( { name = \"a\"; } );", "steno.conf:1: storages.root: is missing, but must be given"},
    {"apps = ( { name = \"a\"; },\n { name = \"b\"; },\n { name = \"A\"; } );",
     "steno.conf:3: apps.name: 'A' is there already (steno.conf:1), but must be the only one of its name"},
    {"apps = ( { name = \"a\"; platforms = [ \"x\" ]; } );",
     "steno.conf:1: apps.platforms: holds 'x', but must hold only names of platforms: there is none"},
    {"storages = ( { name = \"s\"; root = \"/s\"; } );\napps = ( { name = \"a\"; storages = [ \"s\", \"S\" ]; } );",
     "steno.conf:2: apps.storages: holds 'S', but must hold only names of storages: s"},
    {"apps = ( { name = \"a\"; webhook = \"w\"; } );",
     "steno.conf:1: apps.webhook: is 'w', but must be one of the app's webhooks: it has none"},
    {"platforms = ( { name = \"p\"; url = \"janus\"; } );",
     "steno.conf:1: platforms.url: is no http:// or https:// URL"},
    {"platforms = ( { name = \"p\"; url = \"https://\"; } );", "steno.conf:1: platforms.url: has no host"},
    {"platforms = ( { name = \"p\"; url = \"https://h:99999/\"; } );", "steno.conf:1: platforms.url: is no "},
    {"platforms = ( { name = \"p\"; url = \"https://u:hush@h/janus\"; } );",
     "steno.conf:1: platforms.url: holds a user or password, but must not"},
    {"platforms = ( { name = \"p\"; url = \"https://h/janus?apisecret=hush\"; } );",
     "steno.conf:1: platforms.url: has a query ('?…'), but must have none"},
    {"platforms = ( { name = \"p\"; url = \"https://h/#x\"; } );", "steno.conf:1: platforms.url: has a fragment"},
    {"platforms = ( { name = \"p\"; connector = \"sdp\"; url = \"https://h/\"; } );",
     "steno.conf:1: platforms.url: must be a folder (connector \"sdp\")"},
    {"platforms = ( { name = \"p\"; connector = \"sip\"; url = \"https://h/\"; } );",
     "steno.conf:1: platforms.connector: is 'sip', but must be one of: janus, sdp"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; turn = [ \"turn:t\" ]; } );",
     "steno.conf:1: platforms.turn: is given without turn_user and turn_password_file"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; turn = [ \"turns:t\" ]; } );",
     "steno.conf:1: platforms.turn: is 'turns:t', but must be turn:HOST:PORT"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; turn = [ \"turn:t:1?transport=tls\" ]; } );",
     "steno.conf:1: platforms.turn: is 'turn:t:1?transport=tls', but must be turn:HOST:PORT"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; stun = \"stun:s:1\"; } );",
     "steno.conf:1: platforms.stun: is 'stun:s:1', but must be HOST:PORT"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; allow_media_cidr = [ \"10.0.0.1/8\" ]; } );",
     "steno.conf:1: platforms.allow_media_cidr: is '10.0.0.1/8', but must be an address or a network"},
    {"webhooks = ( { name = \"w\"; url = \"http://h/\"; } );",
     "steno.conf:1: webhooks.url: is no https:// URL, but must be (or allow_http = true)"},
    {"webhooks = ( { name = \"w\"; url = \"ftp://h/\"; allow_http = true; } );",
     "steno.conf:1: webhooks.url: is no http:// or https:// URL"},
    {"webhooks = ( { name = \"w\"; url = \"https://u@h/\"; } );",
     "steno.conf:1: webhooks.url: holds a user or password"},
    {"webhooks = ( { name = \"w\"; url = \"https://h/\"; events = [ \"recording.done\" ]; } );",
     "steno.conf:1: webhooks.events: is 'recording.done', but must be one of: recording.started, "},
/* Storages. */
#define STORAGE(text) "storages = ( { name = \"s\"; " text " } );"
#define S3(text) STORAGE("type = \"s3\"; bucket = \"b\"; " text)
    {STORAGE(""), "steno.conf:1: storages.root: is missing, but must be given (type \"local\")"},
    {STORAGE("type = \"s3\";"), "steno.conf:1: storages.bucket: is missing, but must be given (type \"s3\")"},
    {STORAGE("type = \"ftp\"; root = \"/r\";"), "steno.conf:1: storages.type: is 'ftp', but must be one of: local, s3"},
    {S3("endpoint = \"http://h\";"), "steno.conf:1: storages.endpoint: is no https:// URL, but must be (or allow_http"},
    {S3("endpoint = \"h:443\";"), "steno.conf:1: storages.endpoint: is no https:// URL"},
    {S3("endpoint = \"https://AK:hush@h\";"), "steno.conf:1: storages.endpoint: holds a user or password"},
    {S3("endpoint = \"https://h?hush=1\";"), "steno.conf:1: storages.endpoint: has a query"},
    {S3("endpoint = \"https://h/b\";"),
     "steno.conf:1: storages.endpoint: has a path, but must be SCHEME://HOST[:PORT]"},
    {S3("sts_endpoint = \"http://h\";"), "steno.conf:1: storages.sts_endpoint: is no https:// URL"},
    {S3("container_endpoint = \"x\";"), "steno.conf:1: storages.container_endpoint: is no http:// or https:// URL"},
    {S3("imds_endpoint = \"http://h/x\";"), "steno.conf:1: storages.imds_endpoint: has a path"},
    {S3("proxy = \"http://u:hush@h\";"), "steno.conf:1: storages.proxy: holds a user or password"},
    {S3("credentials = [ \"file\" ];"), "steno.conf:1: storages.credentials: has \"file\", but access_key_file is not"},
    {S3("credentials = [ \"aws\" ];"), "steno.conf:1: storages.credentials: is 'aws', but must be one of: file, "},
    {S3("credentials = [ \"web-identity\" ]; role_arn = \"r\";"),
     "steno.conf:1: storages.credentials: has \"web-identity\", but role_arn and web_identity_token_file are not both"},
    {S3("encryption = \"customer\";"), "steno.conf:1: storages.encryption: is \"customer\", but customer_key_file is"},
    {S3("kms_key_id = \"k\";"), "steno.conf:1: storages.kms_key_id: is given, but encryption is \"none\", not \"kms\""},
    {S3("lock_mode = \"compliance\";"), "steno.conf:1: storages.lock_mode: is \"compliance\", but lock_days is not"},
    {S3("lock_days = 1;"), "steno.conf:1: storages.lock_days: is given, but lock_mode is \"none\""},
    {S3("region = \"eu-1\"; allow_regions = [ \"us-1\" ];"),
     "steno.conf:1: storages.allow_regions: does not have the region itself, 'eu-1'"},
    {S3("tags = [ \"a\" ];"), "steno.conf:1: storages.tags: is 'a', but must be NAME=VALUE"},
    {S3("tags = [ \"=a\" ];"), "steno.conf:1: storages.tags: is '=a', but must be NAME=VALUE"},
    {S3("tags = [ \"aws:a=b\" ];"), "steno.conf:1: storages.tags: is 'aws:a=b', but must be NAME=VALUE"},
    {S3("tags = [ \"a=b&c\" ];"), "steno.conf:1: storages.tags: is 'a=b&c', but must be NAME=VALUE"},
    {S3("part_bytes = \"1M\";"), "steno.conf:1: storages.part_bytes: is 1048576, but must be 5242880 to 5368709120"},
    {STORAGE("root = \"/r\"; mode = \"640\";"), "steno.conf:1: storages.mode: is '640', but must be permissions"},
    {STORAGE("root = \"/r\"; mode = \"0646\";"), "steno.conf:1: storages.mode: is '0646', but must be"},
    {STORAGE("root = \"/r\"; mode = \"0440\";"), "steno.conf:1: storages.mode: is '0440', but must be"},
    {STORAGE("root = \"/r\"; mode = \"0680\";"), "steno.conf:1: storages.mode: is '0680', but must be"},
    {STORAGE("root = \"/r\"; mode = \"4640\";"), "steno.conf:1: storages.mode: is '4640', but must be"},
    {STORAGE("root = \"/r\"; upload_window = \"20:00\";"),
     "steno.conf:1: storages.upload_window: is '20:00', but must be HH:MM-HH:MM"},
    {STORAGE("root = \"/r\"; upload_window = \"24:00-06:00\";"),
     "steno.conf:1: storages.upload_window: is '24:00-06:00'"},
    {STORAGE("root = \"/r\"; upload_window = \"20:60-06:00\";"),
     "steno.conf:1: storages.upload_window: is '20:60-06:00'"},
    {STORAGE("root = \"/r\"; upload_window = \"20:00-06:0x\";"),
     "steno.conf:1: storages.upload_window: is '20:00-06:0x'"},
    {STORAGE("root = \"/r\"; upload_window = \"20:00-20:00\";"),
     "steno.conf:1: storages.upload_window: is '20:00-20:00'"},
#define KEY(key) STORAGE("root = \"/r\"; key = \"" key "\";")
    {KEY("{recording}"), "steno.conf:1: storages.key: does not end with /{file}, but must be as in"},
    {KEY("{file}"), "steno.conf:1: storages.key: does not end with /{file}"},
    {KEY("{recording}/x{file}"), "steno.conf:1: storages.key: does not end with /{file}"},
    {KEY("{app}/{file}"), "steno.conf:1: storages.key: has no {recording}"},
    {KEY("{recording}/{recording}/{file}"), "steno.conf:1: storages.key: has {recording} twice"},
    {KEY("{recording}/{file}/{file}"), "steno.conf:1: storages.key: has a word that is not known"},
    {KEY("{Recording}/{recording}/{file}"), "steno.conf:1: storages.key: has a word that is not known"},
    {KEY("{recording/{file}"), "steno.conf:1: storages.key: has a word that is not known"},
    {KEY("/{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("a//{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("../{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("./{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("nul/{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("{recording}./{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("a:b/{recording}/{file}"), "steno.conf:1: storages.key: has a step that is not safe"},
    {KEY("{app}{channel}{channel}{recording}/{file}"),
     "steno.conf:1: storages.key: has a step that can become longer than 255 bytes"},
    {KEY("{channel}/{channel}/{channel}/{channel}/{channel}/{channel}/{channel}/{channel}/{recording}/{file}"),
     "steno.conf:1: storages.key: can become longer than 1024 bytes"},
    /* Spans of time. */
    {"apps = ( { name = \"a\"; rotate = \"1w\"; } );",
     "steno.conf:1: apps.rotate: is '1w', but must be a whole number of"},
    {"apps = ( { name = \"a\"; rotate = \"1.5h\"; } );", "steno.conf:1: apps.rotate: is '1.5h', but must be"},
    {"apps = ( { name = \"a\"; rotate = \"m\"; } );", "steno.conf:1: apps.rotate: is 'm', but must be"},
    {"apps = ( { name = \"a\"; rotate = \"60 m\"; } );", "steno.conf:1: apps.rotate: is '60 m', but must be"},
    {"apps = ( { name = \"a\"; rotate = \"\"; } );", "steno.conf:1: apps.rotate: is '', but must be"},
    {"apps = ( { name = \"a\"; rotate = \"8d\"; } );", "steno.conf:1: apps.rotate: is 691200, but must be 0 to 604800"},
    {"apps = ( { name = \"a\"; rotate = -1; } );", "steno.conf:1: apps.rotate: is -1, but must be 0 to 604800"},
    {"apps = ( { name = \"a\"; rotate = \"9223372036854775807d\"; } );", "steno.conf:1: apps.rotate: is '92233"},
    {"apps = ( { name = \"a\"; rotate = true; } );", "steno.conf:1: apps.rotate: is true or false, but must be"},
    {"apps = ( { name = \"a\"; store = \"some\"; } );", "steno.conf:1: apps.store: is 'some', but must be one of"},
    /* Timestamps. */
    {"timestamp_url = \"tsa.example.com\";", "steno.conf:1: timestamp_url: is no http:// or https:// URL"},
    {"timestamp_url = \"https://u:hush@tsa\";", "steno.conf:1: timestamp_url: holds a user or password"},
    {"\ntimestamp_required = true;", "steno.conf:2: timestamp_required: is true without timestamp_url"},
/* Key sources, and what apps say of channels' own encryption. */
#define KEYS(text) "key_sources = ( { name = \"k\"; " text " } );"
#define APP(text) "apps = ( { name = \"a\"; " text " } );"
    {KEYS(""), "steno.conf:1: key_sources.path: is missing, but must be given (type \"folder\")"},
    {KEYS("type = \"command\";"), "steno.conf:1: key_sources.path: is missing, but must be given (type \"command\")"},
    {KEYS("type = \"pkcs11\"; path = \"/k\";"),
     "steno.conf:1: key_sources.url: is missing, but must be given (type \"pkcs11\")"},
    {KEYS("type = \"pkcs11\"; url = \"pkcs11:object=k\";"), "steno.conf:1: key_sources.path: is missing, but"},
    {KEYS("type = \"pkcs11\"; path = \"/k\"; url = \"https://h/\";"),
     "steno.conf:1: key_sources.url: is no RFC 7512 URI, but must be"},
    {KEYS("type = \"pkcs11\"; path = \"/k\"; url = \"pkcs11:object=k?pin-value=hush\";"),
     "steno.conf:1: key_sources.url: holds a PIN, but must not"},
    {KEYS("type = \"service\";"), "steno.conf:1: key_sources.url: is missing, but must be given (type \"service\")"},
    {KEYS("type = \"service\"; url = \"https://h/\";"),
     "steno.conf:1: key_sources.secret_file: is missing, and so is client_certificate_file, but one of them must be"},
    {KEYS("type = \"service\"; url = \"http://h/\";"),
     "steno.conf:1: key_sources.url: is http://, but must be https://"},
    {KEYS("type = \"service\"; url = \"http://127.0.0.1/\";"),
     "steno.conf:1: key_sources.url: is http://, but must be https://"},
    {KEYS("type = \"service\"; url = \"https://u:hush@h/\";"),
     "steno.conf:1: key_sources.url: holds a user or password"},
    {KEYS("type = \"vault\"; url = \"https://h\";"),
     "steno.conf:1: key_sources.secret_file: is missing, but must be given (type \"vault\"): the token"},
    {KEYS("type = \"tape\"; path = \"/k\";"),
     "steno.conf:1: key_sources.type: is 'tape', but must be one of: folder, "},
    {"key_sources = ( { name = \"later\"; path = \"/k\"; } );",
     "steno.conf:1: key_sources.name: is 'later', but must be another name"},
    {"key_sources = ( { name = \"inline\"; path = \"/k\"; } );", "steno.conf:1: key_sources.name: is 'inline', but"},
    {APP("keys = \"k\";"), "steno.conf:1: apps.keys: is 'k', but must be \"later\", or the name of an entry of"},
    {KEYS("path = \"/k\";") "\n" APP("key_sources = [ \"K\" ];"),
     "steno.conf:2: apps.key_sources: holds 'K', but must hold only names of key_sources: k"},
    {"key_sources = ( { name = \"k\"; path = \"/k\"; }, { name = \"l\"; path = \"/l\"; } );\n" APP(
         "key_sources = [ \"k\" ]; keys = \"l\";"),
     "steno.conf:2: apps.keys: is 'l', but must be"},
    {APP("content = \"rot13\";"), "steno.conf:1: apps.content: is 'rot13', but must be one of: none, sframe, "},
    {APP("content = \"aes-128-ecb\";"), "steno.conf:1: apps.content: is 'aes-128-ecb', which tells nobody that"},
    {APP("content = \"aes-256-xts\";"), "steno.conf:1: apps.content: is 'aes-256-xts', which tells nobody that"},
    {APP("inline_keys = \"twice\";"), "steno.conf:1: apps.inline_keys: is 'twice', but must be one of: keep, once"},
    {APP("output_encryption = \"cms\";"),
     "steno.conf:1: apps.output_encryption: is \"cms\", but output_recipients is not given"},
    {APP("output_encryption = \"cenc\";"),
     "steno.conf:1: apps.output_encryption: is \"cenc\", but output_key_file is not given"},
    {APP("output_recipients = [ \"/etc/hostname\" ];"),
     "steno.conf:1: apps.output_recipients: is given, but output_encryption is \"none\", not \"cms\""},
    {APP("output_encryption = \"cms\"; output_recipients = [ \"ward.pem\" ];"),
     "steno.conf:1: apps.output_recipients: holds 'ward.pem', but must hold only files, each as an absolute path"},
    {APP("output_encryption = \"cms\"; output_recipients = [ \"/nonexistent\" ];"),
     "steno.conf:1: apps.output_recipients: '/nonexistent' cannot be read: No such file or directory"},
    /* Files. */
    {"api = { client_ca_file = \"/nonexistent/ca.pem\"; };",
     "steno.conf:1: api.client_ca_file: '/nonexistent/ca.pem' cannot be read: No such file or directory"},
    {"api = { client_ca_file = \"/\"; };", "steno.conf:1: api.client_ca_file: '/' is no file, but must be one"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\";\n pin_file = \"/nonexistent\"; } );",
     "steno.conf:2: platforms.pin_file: cannot read the secret file '/nonexistent': No such file or directory"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; pin_file = \"hush\"; } );",
     "steno.conf:1: platforms.pin_file: is no path, but must be the absolute path of a file that holds the secret"},
    {"platforms = ( { name = \"p\"; url = \"https://h/\"; pin_file = \"credential:../hush\"; } );",
     "steno.conf:1: platforms.pin_file: is no path"},
};

static void every_fault_is_told(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *message = folder_refuse(*state, faults[i].text);
        if (!g_str_has_prefix(message, faults[i].fault) || strchr(message, '\n'))
            fail_msg("of\n%s\nwas said\n%s\nbut must be\n%s", faults[i].text, message, faults[i].fault);
        /* Neither a user's secret in a URL nor one in place of its file is repeated. */
        assert_null(strstr(message, "hush"));
    }
}

static void secret_files_of_others_are_refused(void **state)
{
    static const int modes[] = {0644, 0604, 0620, 0601};
    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *file = folder_write_mode(*state, "secret", "hush", modes[i]);
        g_autofree char *text =
            g_strdup_printf("webhooks = ( { name = \"w\"; url = \"https://h/\";\n secret_file = \"%s\"; } );", file);
        g_autofree char *message = folder_refuse(*state, text);
        g_autofree char *wanted = g_strdup_printf("steno.conf:2: webhooks.secret_file: the secret file 'secret' can be "
                                                  "read or written by others (mode %04o): chmod 0600 it",
                                                  modes[i]);
        assert_string_equal(message, wanted);
    }
    g_free(folder_write_mode(*state, "secret", "", 0600));
    g_autofree char *text = g_strdup_printf(
        "webhooks = ( { name = \"w\"; url = \"https://h/\"; secret_file = \"%s/secret\"; } );", (char *)*state);
    g_autofree char *message = folder_refuse(*state, text);
    assert_string_equal(message, "steno.conf:1: webhooks.secret_file: there is no secret in 'secret': it is empty");
}

static void certificate_and_key_come_together(void **state)
{
    g_autofree char *file = folder_write_mode(*state, "pem", "-", 0600);
    g_autofree char *certificate = g_strdup_printf("api = { certificate_file = \"%s\"; };", file);
    g_autofree char *key = g_strdup_printf("\napi = { private_key_file = \"%s\"; };", file);
    g_autofree char *first = folder_refuse(*state, certificate), *second = folder_refuse(*state, key);
    assert_string_equal(
        first, "steno.conf:1: api.certificate_file: is given without private_key_file, but must be given with it");
    assert_string_equal(
        second, "steno.conf:2: api.private_key_file: is given without certificate_file, but must be given with it");
}

/* Files whose use depends on other settings. */
static void files_of_keys_come_together(void **state)
{
    static const struct {
        const char *name, *text, *format, *fault;
    } rows[] = {
        {"pem", "-", KEYS("type = \"service\"; url = \"https://h/\"; client_certificate_file = \"%s\";"),
         "key_sources.client_certificate_file: is given without client_key_file, but must be with it"},
        {"pem", "-", KEYS("type = \"service\"; url = \"https://h/\"; client_key_file = \"%s\";"),
         "key_sources.client_key_file: is given without client_certificate_file, but must be with it"},
        {"token", "hush", KEYS("type = \"vault\"; url = \"http://192.0.2.1:8200\"; secret_file = \"%s\";"),
         "key_sources.url: is http://, but must be https:// (http:// is for this machine's loopback)"},
        {"token", "hush", KEYS("type = \"vault\"; url = \"http://127.example.com\"; secret_file = \"%s\";"),
         "key_sources.url: is http://, but must be https:// (http:// is for this machine's loopback)"},
        {"key", OUTPUT_KEY, APP("output_key_file = \"%s\";"),
         "apps.output_key_file: is given, but output_encryption is \"none\", not \"cenc\""},
        {"key", "hush" OUTPUT_KEY, APP("output_encryption = \"cenc\"; output_key_file = \"%s\";"),
         "apps.output_key_file: 'key' does not hold KID:KEY, but must: 32 hex digits, a colon, and 32 hex digits"},
        {"key", "g" OUTPUT_KEY_TAIL, APP("output_encryption = \"cenc\"; output_key_file = \"%s\";"),
         "apps.output_key_file: 'key' does not hold KID:KEY, but must: 32 hex digits, a colon, and 32 hex digits"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *file = folder_write_mode(*state, rows[i].name, rows[i].text, 0600);
        g_auto(GStrv) parts = g_strsplit(rows[i].format, "%s", -1);
        g_autofree char *text = g_strjoinv(file, parts), *message = folder_refuse(*state, text);
        g_autofree char *wanted = g_strdup_printf("steno.conf:1: %s", rows[i].fault);
        assert_string_equal(message, wanted);
    }
}

/* Who gives a key of the customer's means that it is used. */
static void a_storages_files_come_together(void **state)
{
    static const struct {
        const char *setting, *fault;
    } rows[] = {
        {"customer_key_file", "is given, but encryption is \"none\", not \"customer\""},
        {"client_certificate_file", "is given without client_key_file, but must be with it"},
        {"client_key_file", "is given without client_certificate_file, but must be with it"},
    };
    g_autofree char *file = folder_write_mode(*state, "pem", "-", 0600);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf(S3("%s = \"%s\";"), rows[i].setting, file);
        g_autofree char *message = folder_refuse(*state, text);
        g_autofree char *wanted = g_strdup_printf("steno.conf:1: storages.%s: %s", rows[i].setting, rows[i].fault);
        assert_string_equal(message, wanted);
    }
}

/* A fault in one file does not hide the ones in the others; each is told where it is. */
static void all_faults_are_told_at_once(void **state)
{
    g_free(folder_write(*state, "conf.d/a.conf", "\napps = ( { name = \"a\"; } );\n"));
    g_free(folder_write(*state, "conf.d/b.conf", "limits = {\n  stall_s = 0; };\napps = ( { name = \"a\"; } );"));
    g_autofree char *message =
        folder_refuse(*state, "log_level = \"x\";\n@include \"conf.d/*.conf\"\nmask_participants = 3;\n"
                              "apps = ( { platforms = [ \"p\" ]; } );");
    assert_string_equal(
        message,
        "steno.conf:1: log_level: is 'x', but must be one of: error, warning, notice, info, debug, trace\n"
        "conf.d/b.conf:2: limits.stall_s: is 0, but must be 2 to 3600\n"
        "steno.conf:3: mask_participants: is a whole number, but must be true or false\n"
        "conf.d/b.conf:3: apps.name: 'a' is there already (conf.d/a.conf:2), but must be the only one of its name\n"
        "steno.conf:4: apps.name: is missing, but must be given: as in a start request's \"app\"; isolates "
        "channels, tokens, keys and files from every other app's\n"
        "steno.conf:4: apps.platforms: holds 'p', but must hold only names of platforms: there is none");
}

/* What a file that cannot be read would have said is not called missing. */
static void broken_files_have_no_echo(void **state)
{
    g_free(folder_write(*state, "conf.d/a.conf", "\n\nplatforms = ( {\n"));
    g_autofree char *message = folder_refuse(
        *state, "@include \"conf.d/*.conf\"\napps = ( { name = \"a\"; platforms = [ \"p\" ]; } );\nbogus = 1;");
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    assert_int_equal(g_strv_length(lines), 2);
    assert_string_equal(lines[0], "conf.d/a.conf:4: syntax error");
    assert_true(g_str_has_prefix(lines[1], "steno.conf:3: 'bogus' is not known"));
}

static void files_that_are_none_are_refused(void **state)
{
    g_autoptr(GError) missing = NULL, folder = NULL;
    assert_null(steno_config_load("/nonexistent/steno.conf", &missing));
    assert_true(g_error_matches(missing, STENO_ERROR, STENO_ERROR_CONFIG));
    assert_string_equal(missing->message, "/nonexistent/steno.conf: cannot be read: No such file or directory");
    assert_null(steno_config_load(*state, &folder));
    assert_non_null(strstr(folder->message, ": is no regular file"));

    /* A FIFO would be waited for. */
    g_autofree char *fifo = g_build_filename(*state, "fifo.conf", NULL);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    g_autofree char *message = folder_refuse(*state, "\n@include \"fifo.conf\"\n");
    assert_string_equal(message, "steno.conf:2: @include: 'fifo.conf' is no regular file");
}

/* ---- ceilings ---------------------------------------------------------------------------------------------------- */

static void faults_have_a_ceiling(void **state)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < 150; i++)
        g_string_append_printf(text, "key%u = 1;\n", i);
    g_autofree char *message = folder_refuse(*state, text->str);
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    assert_int_equal(g_strv_length(lines), 101);
    assert_true(g_str_has_prefix(lines[99], "steno.conf:100: 'key99'"));
    assert_string_equal(lines[100], "(and 50 more)");
}

static void files_have_a_ceiling(void **state)
{
    g_autofree char *large = g_strnfill(STENO_CONFIG_FILE_MAX_BYTES + 1, ' ');
    g_autofree char *message = folder_refuse(*state, large);
    assert_string_equal(message, "steno.conf: is larger than 1048576 bytes, but must be a configuration");
    large[STENO_CONFIG_FILE_MAX_BYTES] = '\0';
    steno_config_unref(folder_load(*state, large));
}

static void included_files_have_a_ceiling(void **state)
{
    for (guint i = 0; i < STENO_CONFIG_FILES_MAX; i++) {
        g_autofree char *name = g_strdup_printf("conf.d/%04u.conf", i);
        g_free(folder_write(*state, name, ""));
    }
    g_autofree char *message = folder_refuse(*state, "\n@include \"conf.d/*.conf\"\n");
    assert_string_equal(message, "steno.conf:2: more than 1000 files are included, but must be at most so many");
    g_autofree char *one = g_build_filename(*state, "conf.d/0000.conf", NULL);
    assert_int_equal(unlink(one), 0);
    steno_config_unref(folder_load(*state, "\n@include \"conf.d/*.conf\"\n"));
}

static void lists_have_a_ceiling(void **state)
{
    g_autoptr(GString) text = g_string_new("apps = (\n");
    for (guint i = 0; i < STENO_CONFIG_NAMES_MAX; i++)
        g_string_append_printf(text, "%s{ name = \"a%u\"; }", i ? ",\n" : "", i);
    g_string_append(text, "\n);\n");
    g_autoptr(StenoConfig) config = folder_load(*state, text->str);
    assert_int_equal(config->apps->len, STENO_CONFIG_NAMES_MAX);
    g_free(folder_write(*state, "one.conf", "\napps = ( { name = \"one\"; } );"));
    g_string_append(text, "@include \"one.conf\"\n");
    g_autofree char *message = folder_refuse(*state, text->str);
    assert_string_equal(message, "one.conf:2: apps: has more than 1000 entries, but must have at most so many");
}

static void long_values_are_cut_when_told(void **state)
{
    g_autofree char *name = g_strnfill(5000, 'x'), *text = g_strdup_printf("log_level = \"%s\";", name);
    g_autofree char *long_path = g_strdup_printf("api = { socket_group = \"%s\"; };", name);
    g_autofree char *first = folder_refuse(*state, text), *second = folder_refuse(*state, long_path);
    assert_string_equal(first, "steno.conf:1: log_level: has 5000 bytes, but must have at most 4095");
    assert_string_equal(second, "steno.conf:1: api.socket_group: has 5000 bytes, but must have at most 4095");
    g_autofree char *shorter = g_strdup_printf("log_level = \"%s\";", name + 4000);
    g_autofree char *third = folder_refuse(*state, shorter);
    assert_true(strlen(third) < 250);
    assert_non_null(strstr(third, "xxx…', but must be one of"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_fault_is_told),
        IN_FOLDER(secret_files_of_others_are_refused),
        IN_FOLDER(certificate_and_key_come_together),
        IN_FOLDER(files_of_keys_come_together),
        IN_FOLDER(a_storages_files_come_together),
        IN_FOLDER(all_faults_are_told_at_once),
        IN_FOLDER(broken_files_have_no_echo),
        IN_FOLDER(files_that_are_none_are_refused),
        IN_FOLDER(faults_have_a_ceiling),
        IN_FOLDER(files_have_a_ceiling),
        IN_FOLDER(included_files_have_a_ceiling),
        IN_FOLDER(lists_have_a_ceiling),
        IN_FOLDER(long_values_are_cut_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
