/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static int max_level = CLV_LOG_INFO;

void clv_log_set_level(enum clv_log_level level)
{
	__atomic_store_n(&max_level, (int)level, __ATOMIC_RELAXED);
}

bool clv_log_enabled(enum clv_log_level level)
{
	return (int)level <= __atomic_load_n(&max_level, __ATOMIC_RELAXED);
}

void clv_log(enum clv_log_level level, const char *event, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	static const char cut[] = "...";
	char line[LINE_MAX_BYTES + 1];
	int saved_errno = errno;
	ssize_t written;
	size_t len;
	va_list args;

	if (!clv_log_enabled(level))
		return;

	len = (size_t)snprintf(line, sizeof(line), "%s %s ", names[level], event);
	if (len < sizeof(line)) {
		va_start(args, fmt);
		len += (size_t)vsnprintf(line + len, sizeof(line) - len, fmt, args);
		va_end(args);
	}
	if (len >= sizeof(line)) {
		len = sizeof(line) - 1;
		memcpy(line + len - strlen(cut), cut, strlen(cut));
	}
	while (len && line[len - 1] == ' ')
		len--;
	/* Text that came from a peer must not end the line and begin another. */
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';

	written = write(STDERR_FILENO, line, len);
	(void)written; /* stderr is gone: there is no other place to report that */
	errno = saved_errno;
}
