/* SPDX-License-Identifier: GPL-3.0-or-later */
/* user - culvertctl user: makes, lists and removes the credentials of clients. */
#ifndef CLV_CULVERTCTL_USER_H
#define CLV_CULVERTCTL_USER_H

/* argv[0]: "user".  Returns the exit code. */
int user_main(int argc, char *argv[]);

#endif
