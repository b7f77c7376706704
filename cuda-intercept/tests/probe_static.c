/* Needs no loader: says that it ran. */
#include <stdio.h>

int main(void)
{
    return puts("here") < 0;
}
