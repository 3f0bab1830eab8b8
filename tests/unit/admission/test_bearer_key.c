/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/admission/atomic_file.h"
#include "control/admission/bearer_key.h"
#include "datapath/base/err.h"

static char folder[64], path[96];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/clv-test-key-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/token.key", folder);
	return 0;
}

/* The folder must be empty but for the key: no draft is left anywhere. */
static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void write_file(const char *text, size_t len, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_key_is_made_once_for_its_owner_alone(void **state)
{
	uint8_t first[CLV_BEARER_KEY_LEN] = { 0 }, again[CLV_BEARER_KEY_LEN] = { 0 };
	char error[200] = "";
	struct stat st;

	(void)state;
	assert_int_equal(clv_bearer_key_load(path, first, error, sizeof(error)), 0);
	assert_int_equal(clv_bearer_key_load(path, again, error, sizeof(error)), 0);
	assert_memory_equal(first, again, sizeof(first));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_size, 65);
	unlink(path);
	assert_int_equal(clv_bearer_key_load(path, again, error, sizeof(error)), 0);
	assert_memory_not_equal(first, again, sizeof(first));
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeef"

static void a_damaged_key_is_an_error_that_names_the_file_and_leaves_it(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} damage[] = {
		{ "", 0 },
		{ HEX, 63 },
		{ HEX "f", 64 },
		{ HEX "f ", 65 },
		{ HEX "F\n", 65 },
		{ HEX "\n\n", 65 },
		{ HEX "f\n\n", 66 },
		{ HEX "f\n" HEX "f\n", 130 },
		{ "0000000000000000000000000000000000000000000000000000000000000000\n", 65 },
	};
	uint8_t key[CLV_BEARER_KEY_LEN] = { 0x5a }, zeros[100] = { 0 };
	char error[200], *text;
	size_t len;

	(void)state;
	for (size_t i = 0; i < COUNT(damage); i++) {
		write_file(damage[i].text, damage[i].len, 0600);
		*error = '\0';
		assert_int_equal(clv_bearer_key_load(path, key, error, sizeof(error)), CLV_ESYNTAX);
		assert_ptr_equal(strstr(error, path), error);
		assert_non_null(strstr(error, "damaged"));
		assert_int_equal(key[0], 0x5a);
		assert_int_equal(clv_atomic_file_read(path, 1000, &text, &len, NULL), 0);
		assert_int_equal(len, damage[i].len);
		assert_memory_equal(text, damage[i].text, len);
		free(text);
	}
	write_file((const char *)zeros, 65, 0600); /* as a file system may leave it after a crash */
	assert_int_equal(clv_bearer_key_load(path, key, error, sizeof(error)), CLV_ESYNTAX);
	write_file(HEX "f\n", 65, 0600);
	assert_int_equal(clv_bearer_key_load(path, key, error, sizeof(error)), 0);
	assert_int_equal(key[1], 0x11);
	assert_int_equal(key[31], 0xff);
}

static void a_key_that_others_may_read_or_change_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		int err;
	} modes[] = {
		{ 0600, 0 },	  { 0400, 0 },	    { 0440, 0 },      { 0640, 0 },
		{ 0604, -EPERM }, { 0602, -EPERM }, { 0660, -EPERM }, { 0644, -EPERM },
	};
	uint8_t key[CLV_BEARER_KEY_LEN];
	char error[200];

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		write_file(HEX "f\n", 65, modes[i].mode);
		*error = '\0';
		assert_int_equal(clv_bearer_key_load(path, key, error, sizeof(error)),
				 modes[i].err);
		assert_true(!modes[i].err == !strstr(error, path));
	}
}

static void what_is_no_file_is_an_error(void **state)
{
	char error[200] = "", deep[160];
	uint8_t key[CLV_BEARER_KEY_LEN];

	(void)state;
	assert_int_equal(clv_bearer_key_load(folder, key, error, sizeof(error)), -EINVAL);
	snprintf(deep, sizeof(deep), "%s/none/key", folder);
	assert_int_equal(clv_bearer_key_load(deep, key, error, sizeof(error)), -ENOENT);
	assert_ptr_equal(strstr(error, deep), error);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(clv_bearer_key_load(path, key, error, sizeof(error)), -EINVAL);
}

enum {
	RIVALS = 8,
	ROUNDS = 20,
};

static void processes_that_make_it_together_have_one_key(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint8_t keys[RIVALS][CLV_BEARER_KEY_LEN];
		int pipes[2];

		unlink(path);
		assert_int_equal(pipe(pipes), 0);
		for (int i = 0; i < RIVALS; i++)
			if (fork() == 0) {
				uint8_t key[CLV_BEARER_KEY_LEN];
				char error[200];
				int err = clv_bearer_key_load(path, key, error, sizeof(error));

				_exit(err || write(pipes[1], key, sizeof(key)) != sizeof(key));
			}
		for (int i = 0; i < RIVALS; i++) {
			int status = -1;

			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
			assert_int_equal(read(pipes[0], keys[i], sizeof(keys[i])), sizeof(keys[i]));
			assert_memory_equal(keys[i], keys[0], sizeof(keys[0]));
		}
		close(pipes[0]);
		close(pipes[1]);
	}
}

static void files_are_read_up_to_a_ceiling(void **state)
{
	struct stat st = { 0 };
	char big[5000], *text;
	size_t len;

	(void)state;
	memset(big, 'x', sizeof(big));
	write_file(big, sizeof(big), 0600);
	assert_int_equal(clv_atomic_file_read(path, sizeof(big) - 1, &text, &len, &st), -EFBIG);
	assert_int_equal(clv_atomic_file_read(path, sizeof(big), &text, &len, &st), 0);
	assert_int_equal(len, sizeof(big));
	assert_int_equal(st.st_size, sizeof(big));
	assert_memory_equal(text, big, len);
	assert_int_equal(text[len], 0);
	free(text);
	/* A file whose size is not known before. */
	assert_int_equal(clv_atomic_file_read("/proc/self/status", 1 << 20, &text, &len, NULL), 0);
	assert_true(len > 256 && memchr(text, '\n', len));
	free(text);
	assert_int_equal(clv_atomic_file_read("/proc/self/status", 100, &text, &len, NULL), -EFBIG);
}

static void a_replaced_file_keeps_its_owner_and_mode(void **state)
{
	struct stat st, now;
	char *text;
	size_t len;

	(void)state;
	write_file("old", 3, 0606);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 12, 34), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(clv_atomic_file_replace(path, "newer", 5, &st, 0600), 0);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_mode, st.st_mode);
	assert_int_equal(now.st_uid, st.st_uid);
	assert_int_equal(now.st_gid, st.st_gid);
	assert_int_not_equal(now.st_ino, st.st_ino);
	assert_int_equal(clv_atomic_file_read(path, 100, &text, &len, NULL), 0);
	assert_string_equal(text, "newer");
	free(text);
	assert_int_equal(clv_atomic_file_replace(path, "", 0, NULL, 0640), 0);
	assert_int_equal(stat(path, &now), 0);
	assert_int_equal(now.st_mode & 07777, 0640);
	assert_int_equal(clv_atomic_file_create(path, "x", 1, 0600), -EEXIST);
	assert_int_equal(clv_atomic_file_read(path, 100, &text, &len, NULL), 0);
	assert_int_equal(len, 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a key is made once, for its owner alone",
		     a_key_is_made_once_for_its_owner_alone),
		CASE("a damaged key is an error that names the file and leaves it",
		     a_damaged_key_is_an_error_that_names_the_file_and_leaves_it),
		CASE("a key that others may read or change is refused",
		     a_key_that_others_may_read_or_change_is_refused),
		CASE("what is no file is an error", what_is_no_file_is_an_error),
		CASE("processes that make it together have one key",
		     processes_that_make_it_together_have_one_key),
		CASE("files are read up to a ceiling", files_are_read_up_to_a_ceiling),
		CASE("a replaced file keeps its owner and mode",
		     a_replaced_file_keeps_its_owner_and_mode),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
