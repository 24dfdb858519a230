/* Removed by the first real source of this room. */
typedef int steno_placeholder_token;
