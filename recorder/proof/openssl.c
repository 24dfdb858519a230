#include "openssl.h"

#include <openssl/err.h>

const char *openssl_reason(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return words ? words : "no reason given";
}
