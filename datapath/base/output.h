/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * output - write to standard output and standard error without ever waiting for who reads them.
 *
 * A reader that stands still (a container's log driver, journald, tee) fills its pipe, and write(2)
 * would wait for it for ever.  What cannot be written at once is lost and counted instead.
 *
 * Threading: open at start-up, one thread; the rest any thread, and signal handlers except print.
 */
#ifndef CLV_BASE_OUTPUT_H
#define CLV_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Open the pipes and terminals behind standard output and error once more, as non-blocking ones:
 * the flag is shared by all processes that have the same open file, which must not notice.  Where
 * that is not permitted the old ones stay.
 */
void clv_output_open(void);

/*
 * Write one line, text[0..len), of at most PIPE_BUF bytes.
 * fd: STDOUT_FILENO or STDERR_FILENO.
 * Returns whether it was written; if not, it is counted as lost.  errno survives.
 */
bool clv_output_write(int fd, const char *text, size_t len);

/* Format and write a line of less than 4096 bytes; a longer one is cut.  Returns as write. */
bool clv_output_print(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The number of lines that were lost since the process started. */
uint64_t clv_output_lost(void);

#endif
