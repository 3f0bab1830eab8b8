/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/host/directories.h"
#include "datapath/base/err.h"

static char top[64], deep[96], secret_file[96], lock_file[96];

static int setup(void **state)
{
	(void)state;
	strcpy(top, "/tmp/clv-test-directories-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(deep, sizeof(deep), "%s/a/b", top);
	snprintf(secret_file, sizeof(secret_file), "%s/secret", top);
	snprintf(lock_file, sizeof(lock_file), "%s/culvertd.lock", top);
	return 0;
}

static int teardown(void **state)
{
	char above[96];

	(void)state;
	snprintf(above, sizeof(above), "%s/a", top);
	unlink(secret_file);
	unlink(lock_file);
	rmdir(deep);
	rmdir(above);
	return rmdir(top);
}

static void directories_are_made_with_their_parents(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(clv_directories_make(deep, 0700), 0);
	assert_int_equal(clv_directories_make(deep, 0700), 0);
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(clv_directories_make("/dev/null", 0700), -ENOTDIR);
	assert_int_equal(clv_directories_make("/dev/null/x", 0700), -ENOTDIR);
}

static void one_daemon_has_a_run_directory(void **state)
{
	char error[200] = "";
	int first, second;

	(void)state;
	first = clv_directories_lock(top, error, sizeof(error));
	assert_true(first >= 0);
	second = clv_directories_lock(top, error, sizeof(error));
	assert_int_equal(second, -EBUSY);
	assert_non_null(strstr(error, "another culvertd runs on"));
	clv_directories_unlock(top, first);
	assert_int_equal(access(lock_file, F_OK), -1);
	second = clv_directories_lock(top, error, sizeof(error));
	assert_true(second >= 0);
	clv_directories_unlock(top, second);
}

static void a_killed_daemon_holds_no_lock(void **state)
{
	char error[200] = "";
	int fd, status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		clv_directories_lock(top, error, sizeof(error));
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(access(lock_file, F_OK), 0);
	fd = clv_directories_lock(top, error, sizeof(error));
	assert_true(fd >= 0);
	clv_directories_unlock(top, fd);
}

enum {
	RIVALS = 4,
	TURNS = 20000, /* of all processes together */
};

struct rivalry {
	atomic_int holders, both, turns;
};

/* Lock and unlock repeatedly until the turns are used up. */
static void compete(struct rivalry *r)
{
	char error[200];
	int fd;

	while (atomic_fetch_add(&r->turns, 1) < TURNS) {
		fd = clv_directories_lock(top, error, sizeof(error));
		if (fd < 0)
			continue;
		if (atomic_fetch_add(&r->holders, 1))
			atomic_fetch_add(&r->both, 1);
		usleep(1);
		atomic_fetch_sub(&r->holders, 1);
		clv_directories_unlock(top, fd);
	}
}

/* A process that opened the file before its owner removed it would lock a removed file. */
static void daemons_that_come_and_go_never_share_the_directory(void **state)
{
	struct rivalry *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[RIVALS];
	int i;

	(void)state;
	assert_ptr_not_equal(r, MAP_FAILED);
	for (i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			compete(r);
			_exit(0);
		}
	}
	for (i = 0; i < RIVALS; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	assert_int_equal(r->both, 0);
	munmap(r, sizeof(*r));
}

static void a_missing_run_directory_is_an_error(void **state)
{
	char error[200] = "";

	(void)state;
	assert_int_equal(clv_directories_lock("/nonexistent", error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/culvertd.lock"));
}

static void the_secret_is_made_once_and_for_the_owner_alone(void **state)
{
	uint8_t first[CLV_SECRET_LEN], again[CLV_SECRET_LEN], other[CLV_SECRET_LEN];
	char error[200] = "";
	struct stat st;

	(void)state;
	assert_int_equal(clv_directories_secret(top, first, error, sizeof(error)), 0);
	assert_int_equal(clv_directories_secret(top, again, error, sizeof(error)), 0);
	assert_memory_equal(first, again, sizeof(first));
	assert_int_equal(stat(secret_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	unlink(secret_file);
	assert_int_equal(clv_directories_secret(top, other, error, sizeof(error)), 0);
	assert_memory_not_equal(first, other, sizeof(first));
}

static void a_damaged_secret_is_left_alone(void **state)
{
	static const char *const damage[] = { "", "abc\n", "00", "not hexadecimal" };
	uint8_t secret[CLV_SECRET_LEN];
	char error[200] = "";
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		fd = open(secret_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(write(fd, damage[i], strlen(damage[i])),
				 (ssize_t)strlen(damage[i]));
		close(fd);
		assert_int_equal(clv_directories_secret(top, secret, error, sizeof(error)),
				 CLV_ESYNTAX);
		assert_non_null(strstr(error, "damaged"));
	}
	assert_int_equal(access(secret_file, F_OK), 0);
	unlink(secret_file);
	assert_int_equal(clv_directories_secret("/nonexistent", secret, error, sizeof(error)),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_are_made_with_their_parents),
		cmocka_unit_test(one_daemon_has_a_run_directory),
		cmocka_unit_test(a_killed_daemon_holds_no_lock),
		cmocka_unit_test(daemons_that_come_and_go_never_share_the_directory),
		cmocka_unit_test(a_missing_run_directory_is_an_error),
		cmocka_unit_test(the_secret_is_made_once_and_for_the_owner_alone),
		cmocka_unit_test(a_damaged_secret_is_left_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
