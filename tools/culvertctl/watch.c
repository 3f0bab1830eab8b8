/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/watch.h"

#include <ncurses.h>

#include <stdlib.h>
#include <unistd.h>

/* Show as many lines as fit the screen; the last row shows how to quit. */
static void show(const char *text, unsigned every_sec)
{
	const char *line = text;
	int row = 0;

	erase();
	for (; *line && row < LINES - 1; row++) {
		int len = 0;

		while (line[len] && line[len] != '\n')
			len++;
		mvaddnstr(row, 0, line, len < COLS ? len : COLS);
		line += line[len] ? len + 1 : len;
	}
	attron(A_REVERSE);
	mvprintw(LINES - 1, 0, "%severy %u s; q quits", *line ? "more below; " : "", every_sec);
	attroff(A_REVERSE);
	refresh();
}

static int on_terminal(unsigned every_sec, int (*turn)(void *user, FILE *out), void *user)
{
	initscr(); /* on an unknown terminal it prints an error and exits */
	cbreak();
	noecho();
	curs_set(0);
	timeout((int)every_sec * 1000);
	for (;;) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);
		int key;

		if (!out)
			break;
		(void)turn(user, out);
		fclose(out);
		show(text, every_sec);
		free(text);
		key = getch();
		if (key == 'q' || key == 'Q')
			break;
	}
	endwin();
	return EXIT_SUCCESS;
}

int watch(unsigned every_sec, int (*turn)(void *user, FILE *out), void *user)
{
	int err;

	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
		return on_terminal(every_sec, turn, user);
	for (;;) {
		err = turn(user, stdout);
		fflush(stdout);
		if (err || ferror(stdout))
			return EXIT_FAILURE;
		sleep(every_sec);
	}
}
