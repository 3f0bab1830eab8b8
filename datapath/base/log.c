/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/log.h"

#include "datapath/base/output.h"
#include "datapath/base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 1024,
	FORMAT_MAX_BYTES = 512,
	NOTICE_MAX_BYTES = 64,
	MARK = '\x01',
};

static int max_level = CLV_LOG_INFO;

void clv_log_set_level(enum clv_log_level level)
{
	__atomic_store_n(&max_level, (int)level, __ATOMIC_RELAXED);
}

bool clv_log_enabled(enum clv_log_level level)
{
	return (int)level <= __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

/*
 * Format the pairs with the quotation marks of fmt as MARK, and put the marks back: what else is a
 * quotation mark came from a value.  Returns the length, which may be more than there is room for.
 */
static size_t format_pairs(char *out, size_t out_len, const char *fmt, va_list args)
{
	char marked[FORMAT_MAX_BYTES];
	size_t i, len, marks = 0, found = 0;

	for (i = 0; i < sizeof(marked) - 1 && fmt[i]; i++) {
		marked[i] = fmt[i] == '"' ? MARK : fmt[i];
		marks += fmt[i] == '"';
	}
	marked[i] = '\0';
	assert(!fmt[i]);
	len = (size_t)vsnprintf(out, out_len, marked, args);
	for (i = 0; i < len && i < out_len; i++)
		found += out[i] == MARK;
	for (i = 0; i < len && i < out_len; i++) {
		if (out[i] == '"')
			out[i] = '\'';
		/* More marks than we made: a value has some, and none can be told from ours. */
		if (out[i] == MARK)
			out[i] = found <= marks ? '"' : '\'';
	}
	return len;
}

/*
 * Text that came from a peer must not end the line and begin another, nor speak to a terminal, nor
 * be anything but UTF-8, of which journald would make a list of numbers.
 */
static void replace_bad_characters(char *line)
{
	size_t n;

	for (char *c = line; *c; c += n ? n : 1) {
		n = clv_utf8_len(c);
		if (!n || (unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
		if (n == 2 && (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0)
			c[0] = c[1] = '?'; /* U+0080 to U+009F */
	}
}

/* Lines that were lost are told of with the next one, in one write: it fails or succeeds whole. */
static void write_line(const char *line, size_t len)
{
	static uint64_t told_of;
	char both[LINE_MAX_BYTES + NOTICE_MAX_BYTES];
	uint64_t lost = clv_output_lost();
	uint64_t before = __atomic_exchange_n(&told_of, lost, __ATOMIC_RELAXED);
	size_t notice_len;

	if (lost == before) {
		clv_output_write(STDERR_FILENO, line, len);
		return;
	}
	notice_len = (size_t)snprintf(both, sizeof(both), "warn log_lines_lost lines=%llu\n",
				      (unsigned long long)(lost - before));
	memcpy(both + notice_len, line, len);
	if (!clv_output_write(STDERR_FILENO, both, notice_len + len))
		__atomic_store_n(&told_of, before, __ATOMIC_RELAXED);
}

void clv_log(enum clv_log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	static const char cut[] = "...";
	char line[LINE_MAX_BYTES + 1];
	int saved_errno = errno;
	size_t len;
	va_list args;

	if (!clv_log_enabled(level))
		return;

	len = (size_t)snprintf(line, sizeof(line), "%s %s ", names[level], event);
	if (len < sizeof(line)) {
		va_start(args, fmt);
		len += format_pairs(line + len, sizeof(line) - len, fmt, args);
		va_end(args);
	}
	if (len >= sizeof(line)) {
		len = sizeof(line) - 1;
		memcpy(line + len - strlen(cut), cut, strlen(cut));
	}
	while (len && line[len - 1] == ' ')
		len--;
	line[len] = '\0';
	replace_bad_characters(line);
	line[len++] = '\n';
	write_line(line, len);
	errno = saved_errno;
}
