/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "datapath/base/log.h"

static char text[4096];

/* What reaches stderr while one line is logged; the pipe keeps writes apart only by their ends. */
#define LOGGED(...)                                                                                \
	({                                                                                         \
		int fds[2], saved = dup(STDERR_FILENO);                                            \
		ssize_t got;                                                                       \
                                                                                                   \
		assert_int_equal(pipe2(fds, O_NONBLOCK), 0);                                       \
		dup2(fds[1], STDERR_FILENO);                                                       \
		clv_log(__VA_ARGS__);                                                              \
		dup2(saved, STDERR_FILENO);                                                        \
		got = read(fds[0], text, sizeof(text) - 1);                                        \
		text[got > 0 ? got : 0] = '\0';                                                    \
		close(fds[0]);                                                                     \
		close(fds[1]);                                                                     \
		close(saved);                                                                      \
		(const char *)text;                                                                \
	})

static void writes_one_line(void **state)
{
	(void)state;
	clv_log_set_level(CLV_LOG_INFO);
	assert_string_equal(LOGGED(CLV_LOG_WARN, "xsk_copy_mode", "if=%s queue=%d", "eth2", 3),
			    "warn xsk_copy_mode if=eth2 queue=3\n");
	assert_string_equal(LOGGED(CLV_LOG_ERROR, "lost", "%s", ""), "error lost\n");
	errno = EBADF;
	(void)LOGGED(CLV_LOG_INFO, "event", "%s", "");
}

static void obeys_level(void **state)
{
	(void)state;
	clv_log_set_level(CLV_LOG_WARN);
	assert_true(clv_log_enabled(CLV_LOG_ERROR));
	assert_false(clv_log_enabled(CLV_LOG_INFO));
	assert_string_equal(LOGGED(CLV_LOG_INFO, "event", "a=%d", 1), "");
	clv_log_set_level(CLV_LOG_DEBUG);
	assert_string_equal(LOGGED(CLV_LOG_DEBUG, "event", "a=%d", 1), "debug event a=1\n");
}

static void keeps_foreign_text_in_its_line(void **state)
{
	(void)state;
	clv_log_set_level(CLV_LOG_INFO);
	assert_string_equal(
		LOGGED(CLV_LOG_INFO, "closed", "reason=\"%s\"", "a\nerror b\x1b[1m\x7f"),
		"info closed reason=\"a?error b?[1m?\"\n");
	/* U+009B begins what a terminal obeys, as ESC [ does; U+00FC is a letter. */
	assert_string_equal(LOGGED(CLV_LOG_INFO, "link", "if=%s",
				   "\xc2\x9b"
				   "1m\xc3\xbc"),
			    "info link if=??1m\xc3\xbc\n");
	assert_string_equal(LOGGED(CLV_LOG_INFO, "link", "if=%s", "latin-\xfc"),
			    "info link if=latin-?\n");
}

static void keeps_the_marks_of_a_value_apart(void **state)
{
	(void)state;
	clv_log_set_level(CLV_LOG_INFO);
	assert_string_equal(
		LOGGED(CLV_LOG_INFO, "closed", "reason=\"%s\" code=%d", "x\" user=\"root", 7),
		"info closed reason=\"x' user='root\" code=7\n");
	/* Even with the character that stands for a mark while the line is made. */
	assert_string_equal(LOGGED(CLV_LOG_INFO, "closed", "reason=\"%s\"", "x\x01 user=root"),
			    "info closed reason='x' user=root'\n");
	assert_string_equal(LOGGED(CLV_LOG_INFO, "link", "if=%s mtu=%d", "q\"uo\\te", 1500),
			    "info link if=q'uo\\te mtu=1500\n");
}

static void cuts_long_lines(void **state)
{
	char big[3000];
	const char *line;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	line = LOGGED(CLV_LOG_INFO, "event", "v=%s", big);
	assert_int_equal(strlen(line), 1025);
	assert_string_equal(line + 1025 - 5, "x...\n");
	assert_string_equal(LOGGED(CLV_LOG_INFO, big, "v=%d", 1) + 1025 - 5, "x...\n");
}

static void keeps_errno(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = ENOTDIR;
	clv_log(CLV_LOG_ERROR, "event", "a=%d", 1);
	assert_int_equal(errno, ENOTDIR);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("a line is level, event and pairs", writes_one_line),
		CASE("lines above the level are not written", obeys_level),
		CASE("control characters cannot begin another line",
		     keeps_foreign_text_in_its_line),
		CASE("a value cannot look like another pair", keeps_the_marks_of_a_value_apart),
		CASE("long lines are cut and marked", cuts_long_lines),
		CASE("errno survives, stderr or not", keeps_errno),
	};

	return cmocka_run_group_tests_name("log", cases, NULL, NULL);
}
