#include "steno/api.h"

int main(void)
{
    return 0;
}
