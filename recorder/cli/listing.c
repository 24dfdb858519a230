/* Lists that stenod has: keys, webhooks, storages, files. */
#include "client.h"

int cli_list_answer(CliCall *call, const char *path, const CliListing *listing, GError **error)
{
    g_autoptr(CliClient) client = cli_client_new(call, error);
    json_t *answer = client ? cli_client_ask(client, "GET", path, NULL, error) : NULL;
    if (!answer)
        return 1;
    if (call->json) {
        cli_print_answer(answer);
    } else {
        gboolean plain = cli_flag(call, "plain");
        CliTable *table = cli_table_new(listing->heads, listing->flexible);
        size_t i = 0;
        json_t *item = NULL;
        json_array_foreach (json_object_get(answer, listing->member), i, item) {
            listing->add(table, item, plain);
        }
        cli_table_print(table, plain);
    }
    json_decref(answer);
    return 0;
}

char *cli_size(gint64 bytes, gboolean plain)
{
    return plain ? g_strdup_printf("%" G_GINT64_FORMAT, bytes) : g_format_size((guint64)bytes);
}

char *cli_time(const char *rfc3339, gboolean plain)
{
    return plain ? g_strdup(rfc3339) : cli_local_time(rfc3339);
}
