/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/admission/atomic_file.h"
#include "control/admission/users.h"
#include "control/admission/users_edit.h"
#include "datapath/base/err.h"

#define ALICE "clv14oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbkq"

static char folder[64], path[96], lock_path[112], error[300];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/clv-test-users-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/users", folder);
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	*error = '\0';
	return 0;
}

/* Nothing may be left but the file and its lock. */
static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(lock_path);
	return rmdir(folder);
}

static void put(const char *text)
{
	assert_int_equal(clv_atomic_file_replace(path, text, strlen(text), NULL, 0640), 0);
}

static void check_file(const char *want)
{
	char *text;
	size_t len;

	assert_int_equal(clv_atomic_file_read(path, 1 << 24, &text, &len, NULL), 0);
	assert_string_equal(text, want);
	free(text);
}

static int add(const char *name, const char *words)
{
	return clv_users_add(path, name, words, error, sizeof(error));
}

static int set(const char *name, const char *words)
{
	return clv_users_set(path, name, words, error, sizeof(error));
}

static void users_are_added_at_the_end(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(add("alice", ""), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	check_file("alice\n");
	assert_int_equal(add("bob", " mbit=20\texpires=2027-01-31 "), 0);
	check_file("alice\nbob mbit=20 expires=2027-01-31\n");
	assert_int_equal(add("bob", ""), -EEXIST);
	assert_non_null(strstr(error, ":2: the user exists already"));
	put("# only a comment");
	assert_int_equal(add("carol", "key=" ALICE), 0);
	check_file("# only a comment\ncarol key=" ALICE "\n");
}

static void words_are_replaced_in_their_place_and_the_rest_is_kept(void **state)
{
	(void)state;
	put("# head\n\n  alice\tmbit=20   tunnels=8  # of a=1 mbit=3\n\nbob mbit=1");
	assert_int_equal(set("alice", "tunnels=9"), 0);
	check_file("# head\n\n  alice\tmbit=20   tunnels=9  # of a=1 mbit=3\n\nbob mbit=1");
	assert_int_equal(set("alice", "mbit= ports=0 bytes=1G"), 0);
	check_file("# head\n\n  alice   tunnels=9 ports=0 bytes=1G  # of a=1 mbit=3\n\nbob mbit=1");
	assert_int_equal(set("alice", "tunnels= ports= bytes="), 0);
	check_file("# head\n\n  alice  # of a=1 mbit=3\n\nbob mbit=1");
	assert_int_equal(set("bob", "mbit=2"), 0);
	check_file("# head\n\n  alice  # of a=1 mbit=3\n\nbob mbit=2\n");
	assert_int_equal(set("bob", "mbit="), 0);
	assert_int_equal(set("bob", "mbit="), 0);
	check_file("# head\n\n  alice  # of a=1 mbit=3\n\nbob\n");
	assert_int_equal(set("carol", "mbit=1"), -ENOENT);
	assert_non_null(strstr(error, "no such user"));
}

static void a_user_that_is_removed_leaves_what_is_revoked(void **state)
{
	bool was_there = false;

	(void)state;
	put("alice mbit=1 # first\nbob\ncarol\n# end");
	assert_int_equal(clv_users_remove(path, "alice", 1000, &was_there, error, sizeof(error)),
			 0);
	assert_true(was_there);
	check_file("alice revoked=1000\nbob\ncarol\n# end");
	assert_int_equal(clv_users_remove(path, "bob", 0, &was_there, error, sizeof(error)), 0);
	check_file("alice revoked=1000\ncarol\n# end");

	/* Again: what a later token of the name may do ends too, and never starts again. */
	assert_int_equal(clv_users_remove(path, "alice", 2000, &was_there, error, sizeof(error)),
			 0);
	assert_false(was_there);
	check_file("alice revoked=2000\ncarol\n# end");
	assert_int_equal(clv_users_remove(path, "alice", 1500, &was_there, error, sizeof(error)),
			 0);
	assert_int_equal(clv_users_remove(path, "alice", 0, &was_there, error, sizeof(error)), 0);
	check_file("alice revoked=2000\ncarol\n# end");
	assert_int_equal(add("alice", "mbit=5"), 0);
	check_file("alice revoked=2000 mbit=5\ncarol\n# end");
	assert_int_equal(add("alice", "mbit=6"), -EEXIST);
	assert_int_equal(clv_users_remove(path, "alice", 0, &was_there, error, sizeof(error)), 0);
	assert_true(was_there);
	check_file("alice revoked=2000\ncarol\n# end");

	/* A name in no line may have tokens. */
	was_there = true;
	assert_int_equal(clv_users_remove(path, "default", 3000, &was_there, error, sizeof(error)),
			 0);
	assert_false(was_there);
	check_file("alice revoked=2000\ncarol\n# end\ndefault revoked=3000\n");
	assert_int_equal(clv_users_remove(path, "nobody", 0, &was_there, error, sizeof(error)),
			 -ENOENT);
	put("alice");
	assert_int_equal(clv_users_remove(path, "alice", 0, &was_there, error, sizeof(error)), 0);
	check_file("");
}

static void what_would_make_the_file_wrong_is_refused(void **state)
{
	static const char *const words[] = {
		"mbit",		"mbit=x",	   "mbit=1 mbit=2", "unknown=1",
		"# comment",	("key=" ALICE),	   "mbit=1\nroot",  "mbit=1 #x",
		"mbit=1\r",	"password=SECRET", "mbit=1 mbit=",  "=",
		"mb\xc3\xa4=1", "mbit= mbit=",
	};
	static const char text[] = "alice key=" ALICE "\nbob mbit=9\n";
	char longer[CLV_USERS_LINE_MAX + 100];
	struct stat before, after;

	(void)state;
	put(text);
	assert_int_equal(stat(path, &before), 0);
	for (size_t i = 0; i < COUNT(words); i++) {
		*error = '\0';
		CHECK_ROW(words[i], add("carol", words[i]) == CLV_ESYNTAX);
		CHECK_ROW(words[i], *error && !strstr(error, "SECRET"));
		CHECK_ROW(words[i], set("bob", words[i]) == CLV_ESYNTAX);
	}
	assert_int_equal(add("carol", "password="), CLV_ESYNTAX); /* nothing to take away */
	assert_int_equal(add("Carol", ""), CLV_ESYNTAX);
	assert_int_equal(add("carol mbit=1", ""), CLV_ESYNTAX);
	assert_int_equal(add("", ""), CLV_ESYNTAX);
	memset(longer, '1', sizeof(longer));
	memcpy(longer, "x=", 2);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(add("carol", longer), CLV_EFULL);
	check_file(text);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);

	put("alice\nalice\n");
	assert_int_equal(add("carol", ""), CLV_ESYNTAX);
	assert_non_null(strstr(error, ":2: duplicate name"));
	check_file("alice\nalice\n");
}

static void a_line_far_too_long_is_refused(void **state)
{
	size_t len = 8 * CLV_USERS_LINE_MAX;
	char *words = malloc(len + 1);

	(void)state;
	memset(words, 'x', len);
	memcpy(words, "x=", 2);
	words[len] = '\0';
	assert_int_equal(add("alice", words), CLV_EFULL);
	free(words);
	assert_int_equal(access(path, F_OK), -1);
}

static void owner_mode_and_symbolic_links_stay(void **state)
{
	struct stat st;
	char link_path[112], target[64];

	(void)state;
	put("alice\n");
	assert_int_equal(chmod(path, 0604), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 12, 34), 0);
	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	assert_int_equal(symlink("users", link_path), 0);
	assert_int_equal(clv_users_add(link_path, "bob", "", error, sizeof(error)), 0);
	assert_int_equal(readlink(link_path, target, sizeof(target)), 5);
	unlink(link_path);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0604);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, 12);
		assert_int_equal(st.st_gid, 34);
	}
	check_file("alice\nbob\n");
	assert_int_equal(clv_users_add("/nonexistent/users", "a", "", error, sizeof(error)),
			 -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/users.lock"));
}

enum {
	PROCESSES = 2,
	EDITS = 60,
};

/* Add many users of one's own, and count up a word of a user that both change. */
static int edit_much(int process)
{
	char name[16], words[32];

	for (int i = 0; i < EDITS; i++) {
		snprintf(name, sizeof(name), "p%d-%d", process, i);
		snprintf(words, sizeof(words), "mbit=%d", i);
		if (add(name, words))
			return 1;
		snprintf(words, sizeof(words), "%s=%d", process ? "conns" : "tunnels", i);
		if (set("shared", words))
			return 1;
	}
	return 0;
}

static void edits_of_two_processes_are_all_kept(void **state)
{
	static const uint64_t seed[2] = { 3, 4 };
	const struct clv_user *user, *all;
	struct clv_users *users;
	char name[16];

	(void)state;
	put("shared # by both\n");
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0)
			_exit(edit_much(i));
	/* A reader sees a whole file at any time. */
	for (int running = PROCESSES, status; running;) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		assert_int_equal(clv_users_load(path, seed, &users, error, sizeof(error)), 0);
		assert_non_null(clv_users_find(users, "shared", 6));
		clv_users_free(users);
		assert_true(pid >= 0);
		if (pid) {
			assert_int_equal(status, 0);
			running--;
		}
	}
	assert_int_equal(clv_users_load(path, seed, &users, error, sizeof(error)), 0);
	assert_int_equal(clv_users_all(users, &all), 1 + PROCESSES * EDITS);
	for (int i = 0; i < PROCESSES * EDITS; i++) {
		snprintf(name, sizeof(name), "p%d-%d", i / EDITS, i % EDITS);
		user = clv_users_find(users, name, strlen(name));
		assert_non_null(user);
		assert_int_equal(user->limits.of[CLV_LIMIT_MBIT], i % EDITS);
	}
	user = clv_users_find(users, "shared", 6);
	assert_int_equal(user->limits.of[CLV_LIMIT_CONNS], EDITS - 1);
	assert_int_equal(user->limits.of[CLV_LIMIT_TUNNELS], EDITS - 1);
	clv_users_free(users);
}

static void an_edit_waits_for_the_lock_of_another(void **state)
{
	char byte = 0;
	int fd, pipes[2], status;
	pid_t pid;

	(void)state;
	put("alice\n");
	assert_int_equal(pipe(pipes), 0);
	fd = open(lock_path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	pid = fork();
	if (pid == 0) {
		close(fd);
		_exit(write(pipes[1], &byte, 1) != 1 || add("bob", ""));
	}
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	usleep(100000);
	check_file("alice\n");
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	check_file("alice\nbob\n");
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

#define EACH(sentence, function)                                                                   \
	{                                                                                          \
		.name = (sentence), .test_func = (function), .setup_func = setup,                  \
		.teardown_func = teardown                                                          \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH("users are added at the end", users_are_added_at_the_end),
		EACH("words are replaced in their place and the rest is kept",
		     words_are_replaced_in_their_place_and_the_rest_is_kept),
		EACH("a user that is removed leaves what is revoked",
		     a_user_that_is_removed_leaves_what_is_revoked),
		EACH("what would make the file wrong is refused",
		     what_would_make_the_file_wrong_is_refused),
		EACH("a line far too long is refused", a_line_far_too_long_is_refused),
		EACH("owner, mode and symbolic links stay", owner_mode_and_symbolic_links_stay),
		EACH("edits of two processes are all kept", edits_of_two_processes_are_all_kept),
		EACH("an edit waits for the lock of another",
		     an_edit_waits_for_the_lock_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
