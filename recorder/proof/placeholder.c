#include "steno/proof.h"
