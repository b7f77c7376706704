/* Looking for the dead while the program itself calls nothing. */
#ifndef CI_WATCH_H
#define CI_WATCH_H

#include "config.h"

/* Takes back what killed processes of the shares held; never returns. */
void ci_watch(struct ci_config *config);

#endif
