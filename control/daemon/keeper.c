/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/keeper.h"

#include "control/admission/atomic_file.h"
#include "control/admission/users.h"
#include "control/daemon/certificates.h"
#include "control/host/privs.h"
#include "control/host/sandbox.h"
#include "control/tls/pem.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	KEEPER_FD = STDERR_FILENO + 1, /* the keeper's end */
	RETRY_SEC = 60,
	ADDRESSES_SEC = 10,  /* between certificates that are made for new addresses */
	RENEW_MSEC = 300,    /* for a certificate that is of no use meanwhile */
	WAIT_MSEC = 2000,    /* for a file */
	FIRST_FILE = 128,    /* questions from here on are about enum clv_keeper_file */
	FILE_MAX = 64 << 20, /* bytes of a text that is believed */
};

_Static_assert((int)CLV_LISTENERS_MAX <= (int)FIRST_FILE, "a question is one byte");

/* A listener's number, or a file's behind FIRST_FILE; serial tells answers from late ones. */
struct question {
	uint8_t about, serial;
};

/* A question, and the addresses for certificates, which the keeper cannot look up. */
struct order {
	struct question question;
	uint16_t own_len;
	uint8_t own[CLV_CERTGEN_NAMES_MAX][16];
};

struct answer {
	int32_t err;
	struct question question;
	uint32_t cert_len,
		key_len; /* the texts that follow, a file's in place of cert; 0 on failure */
	char error[CLV_DAEMON_ERROR_MAX];
};

struct clv_keeper {
	int fd;
	uv_poll_t poll;
	bool is_started;
	struct answer answer;
	size_t have;		/* bytes of the answer and its texts */
	char *texts;		/* cert_len + key_len, and a zero behind each */
	struct question wanted; /* the file that is waited for */
	bool has_file;		/* it is here: file_err and file */
	int file_err;
	char *file;
	unsigned renewals;	/* certificates that are waited for */
	uint64_t addresses_ns;	/* when new addresses were followed last; 0: never */
	int64_t wall_ahead_sec; /* of the monotonic clock, as seen last */
};

/* ---- the keeper's process ---- */

/* Returns whether all of data[0..len) was moved; the other end is gone otherwise. */
static bool write_whole(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static int read_file(struct clv_daemon *daemon, enum clv_keeper_file file, char **text)
{
	const char *users = daemon->config.access_users;
	size_t len;
	int err;

	if (file == CLV_KEEPER_CONFIG)
		return clv_config_read(daemon->options.config_file, daemon->options.is_config_given,
				       text, daemon->error, sizeof(daemon->error));
	err = clv_atomic_file_read(users, CLV_USERS_BYTES_MAX, text, &len, NULL);
	if (!err && strlen(*text) != len) {
		explicit_bzero(*text, len);
		free(*text);
		err = CLV_ESYNTAX;
	}
	return clv_daemon_fail(daemon, err, users);
}

static bool answer_question(struct clv_daemon *daemon, struct question question)
{
	struct answer a = { .question = question };
	struct clv_certificate c = { 0 };
	bool is_sent;

	*daemon->error = 0;
	if (question.about < daemon->config.listeners_len)
		a.err = clv_certificates_read(daemon, question.about, &c);
	else if (question.about == FIRST_FILE + CLV_KEEPER_CONFIG ||
		 question.about == FIRST_FILE + CLV_KEEPER_USERS)
		a.err = read_file(daemon, (enum clv_keeper_file)(question.about - FIRST_FILE),
				  &c.cert_pem);
	else
		return false;
	snprintf(a.error, sizeof(a.error), "%s", daemon->error);
	a.cert_len = a.err ? 0 : (uint32_t)strlen(c.cert_pem);
	a.key_len = a.err || !c.key_pem ? 0 : (uint32_t)strlen(c.key_pem);
	is_sent = write_whole(KEEPER_FD, &a, sizeof(a)) &&
		  write_whole(KEEPER_FD, c.cert_pem, a.cert_len) &&
		  write_whole(KEEPER_FD, c.key_pem, a.key_len);
	if (!a.err)
		explicit_bzero(c.cert_pem, a.cert_len);
	clv_certificates_free(&c);
	return is_sent;
}

/* Returns whether one came. */
static bool read_order(struct order *out)
{
	char *p = (char *)out;
	size_t have = 0;

	while (have < sizeof(*out)) {
		ssize_t n = read(KEEPER_FD, p + have, sizeof(*out) - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	return true;
}

__attribute__((noreturn)) static void run_keeper(struct clv_daemon *daemon, int fd)
{
	char why[CLV_REASON_MAX] = "";
	struct order order;
	int err;

	/* Signals to the group are culvertd's business; its end is ours. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "culvertd-keeper");
	explicit_bzero(daemon->secret, sizeof(daemon->secret));
	if (dup2(fd, KEEPER_FD) != KEEPER_FD || close_range(KEEPER_FD + 1, ~0U, 0))
		_exit(EXIT_FAILURE);
	err = clv_privs_keep_files(why, sizeof(why));
	if (!err && daemon->config.sandbox)
		err = clv_sandbox_close_keeper(why, sizeof(why));
	if (err && err != -EOPNOTSUPP) {
		clv_log(CLV_LOG_ERROR, "keeper_ends", "because=\"%s\"", why);
		_exit(EXIT_FAILURE);
	}
	while (read_order(&order)) {
		daemon->public_own_len = order.own_len;
		memcpy(daemon->public_own, order.own, sizeof(order.own));
		if (order.own_len > CLV_CERTGEN_NAMES_MAX ||
		    !answer_question(daemon, order.question))
			break;
	}
	_exit(EXIT_SUCCESS);
}

/* Fork twice: whoever is init then takes its exit status, which the sandbox would not let us. */
static int fork_keeper(struct clv_daemon *daemon, int fd)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			run_keeper(daemon, fd);
		_exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS ? 0 : -EAGAIN;
}

int clv_keeper_open(struct clv_daemon *daemon)
{
	int fds[2], err;

	daemon->keeper = calloc(1, sizeof(*daemon->keeper));
	if (!daemon->keeper)
		return clv_daemon_fail(daemon, -ENOMEM, "keeper");
	daemon->keeper->fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return clv_daemon_fail(daemon, -errno, "keeper");
	daemon->keeper->fd = fds[0];
	err = fork_keeper(daemon, fds[1]);
	close(fds[1]);
	if (!err && fcntl(fds[0], F_SETFL, O_NONBLOCK))
		err = -errno;
	return clv_daemon_fail(daemon, err, "keeper");
}

/* ---- culvertd's end ---- */

static void forget_answer(struct clv_keeper *k)
{
	if (k->texts)
		explicit_bzero(k->texts, (size_t)k->answer.cert_len + k->answer.key_len + 2);
	free(k->texts);
	k->texts = NULL;
	k->have = 0;
}

/* Without it culvertd serves on, with the certificates it has. */
static void lose(struct clv_daemon *daemon, const char *why)
{
	struct clv_keeper *k = daemon->keeper;

	clv_log(CLV_LOG_ERROR, "keeper_lost",
		"because=\"%s\" hint=\"certificates are renewed and reloaded by a restart only\"",
		why);
	forget_answer(k);
	uv_poll_stop(&k->poll);
	close(k->fd);
	k->fd = -1;
}

static void take_certificate(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;
	const size_t index = k->answer.question.about;
	const char *name = daemon->config.listeners[index].name;
	struct clv_certificate c = { k->texts, k->texts + k->answer.cert_len + 1 };
	int err = k->answer.err;

	if (k->renewals)
		k->renewals--;
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "%s", k->answer.error);
	else
		err = clv_certificates_install(daemon, index, &c);
	if (err == -EAGAIN) /* said at the start, and wrong until the clock is set */
		return;
	if (err)
		clv_log(CLV_LOG_ERROR, "certificate_refused",
			"listener=%s err=\"%s\" hint=\"the one before stays\"", name,
			daemon->error);
	else
		clv_log(CLV_LOG_INFO, "certificate", "listener=%s not_after=%lld", name,
			(long long)daemon->listeners[index].identity.not_after);
}

/* A file that is waited for; one that came too late is forgotten. */
static void take_file(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;

	if (k->has_file || memcmp(&k->answer.question, &k->wanted, sizeof(k->wanted)) != 0)
		return;
	k->has_file = true;
	k->file_err = k->answer.err;
	if (k->file_err) {
		snprintf(daemon->error, sizeof(daemon->error), "%s", k->answer.error);
		return;
	}
	k->file = k->texts;
	k->texts = NULL;
}

/* Where the next bytes of the answer go.  Returns how many are wanted, 0: it is complete. */
static size_t next_bytes(struct clv_keeper *k, char **to)
{
	size_t head = sizeof(k->answer), cert_end = head + k->answer.cert_len;

	if (k->have < head) {
		*to = (char *)&k->answer + k->have;
		return head - k->have;
	}
	/* A zero stands between the texts. */
	*to = k->texts + (k->have - head) + (k->have >= cert_end);
	return (k->have < cert_end ? cert_end : cert_end + k->answer.key_len) - k->have;
}

/* The head of an answer is there.  Returns whether it may be believed. */
static bool begin_texts(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;

	k->answer.error[sizeof(k->answer.error) - 1] = 0;
	if ((k->answer.question.about >= daemon->config.listeners_len &&
	     k->answer.question.about < FIRST_FILE) ||
	    k->answer.cert_len > FILE_MAX || k->answer.key_len > FILE_MAX)
		return false;
	k->texts = calloc(1, (size_t)k->answer.cert_len + k->answer.key_len + 2);
	return k->texts != NULL;
}

/* Read what is there of answers, and take those that are complete. */
static void receive(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;
	size_t wanted;
	ssize_t n;
	char *to;

	while (k->fd >= 0) {
		wanted = next_bytes(k, &to);
		if (!wanted) {
			if (k->answer.question.about >= FIRST_FILE)
				take_file(daemon);
			else
				take_certificate(daemon);
			forget_answer(k);
			continue;
		}
		n = read(k->fd, to, wanted);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			lose(daemon, n ? clv_strerror(-errno) : "it ended");
			return;
		}
		k->have += (size_t)n;
		if (k->have == sizeof(k->answer) && !begin_texts(daemon)) {
			lose(daemon, "a bad answer");
			return;
		}
	}
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	receive(poll->data);
}

/* Its buffer holds hundreds of questions; one that does not fit is asked again later. */
static bool ask(struct clv_daemon *daemon, struct question question)
{
	struct order order = { .question = question, .own_len = (uint16_t)daemon->public_own_len };
	struct clv_keeper *k = daemon->keeper;

	if (!k || k->fd < 0)
		return false;
	memcpy(order.own, daemon->public_own, sizeof(order.own));
	if (write(k->fd, &order, sizeof(order)) == sizeof(order))
		return true;
	if (errno != EAGAIN)
		lose(daemon, clv_strerror(-errno));
	return false;
}

static void ask_certificate(struct clv_daemon *daemon, size_t index)
{
	if (ask(daemon, (struct question){ .about = (uint8_t)index }))
		daemon->keeper->renewals++;
}

static bool has_file(const struct clv_keeper *k)
{
	return k->has_file;
}

static bool has_renewed(const struct clv_keeper *k)
{
	return k->renewals == 0;
}

/* Take answers until those that are waited for are here.  Returns whether they are. */
static bool wait_for(struct clv_daemon *daemon, bool (*is_here)(const struct clv_keeper *k),
		     unsigned msec)
{
	struct clv_keeper *k = daemon->keeper;
	const uint64_t until_ns = clv_clock_now_ns() + msec * CLV_MSEC;
	uint64_t now_ns;

	for (;;) {
		struct pollfd poll_fd = { .fd = k->fd, .events = POLLIN };

		receive(daemon);
		if (is_here(k))
			return true;
		now_ns = clv_clock_now_ns();
		if (k->fd < 0 || now_ns >= until_ns)
			return false;
		poll(&poll_fd, 1, (int)((until_ns - now_ns) / CLV_MSEC) + 1);
	}
}

int clv_keeper_read(struct clv_daemon *daemon, enum clv_keeper_file file, char **text)
{
	struct clv_keeper *k = daemon->keeper;
	int err;

	*daemon->error = 0;
	if (!k || k->fd < 0)
		return read_file(daemon, file, text);
	k->wanted.about = (uint8_t)(FIRST_FILE + file);
	k->wanted.serial++;
	k->has_file = false;
	ask(daemon, k->wanted);
	if (wait_for(daemon, has_file, WAIT_MSEC))
		err = k->file_err;
	else
		err = clv_daemon_fail(daemon, -ETIMEDOUT, "the keeper");
	k->has_file = true; /* an answer that comes later is not */
	if (!err)
		*text = k->file;
	k->file = NULL;
	return err;
}

void clv_keeper_start(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;

	if (!k)
		return;
	uv_poll_init(&daemon->loop.loop, &k->poll, k->fd);
	k->poll.data = daemon;
	k->is_started = true;
	uv_poll_start(&k->poll, UV_READABLE, on_answer);
}

void clv_keeper_reload(struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->config.listeners_len; i++)
		ask_certificate(daemon, i);
}

/* Have certificates of our own name addresses that came since. */
static void follow_addresses(struct clv_daemon *daemon, uint64_t now_ns)
{
	struct clv_keeper *k = daemon->keeper;
	bool has_more = false;
	size_t i;

	if (!k || !daemon->has_new_addresses || daemon->config.certificate_names.len ||
	    (k->addresses_ns && now_ns - k->addresses_ns < ADDRESSES_SEC * CLV_SEC))
		return;
	daemon->has_new_addresses = false;
	k->addresses_ns = now_ns;
	if (clv_certificates_find_addresses(daemon, &has_more))
		clv_log(CLV_LOG_ERROR, "certificate_names", "err=\"%s\"", daemon->error);
	for (i = 0; has_more && i < daemon->config.listeners_len; i++)
		if (!*daemon->config.listeners[i].cert_file)
			ask_certificate(daemon, i);
}

void clv_keeper_tick(struct clv_daemon *daemon, uint64_t now_ns)
{
	bool is_due;
	size_t i;

	follow_addresses(daemon, now_ns);

	for (i = 0; i < daemon->config.listeners_len; i++) {
		struct clv_daemon_listener *l = &daemon->listeners[i];
		const enum clv_certificate_dates before = l->dates;
		const uint64_t retry_ns = (l->tls ? RETRY_SEC : 1) * CLV_SEC;

		is_due = clv_certificates_watch(daemon, i, now_ns);
		if (!is_due || l->dates != before)
			l->asked_ns = 0;
		if (is_due && (!l->asked_ns || now_ns - l->asked_ns >= retry_ns)) {
			l->asked_ns = now_ns;
			ask_certificate(daemon, i);
		}
	}
}

/* Whether a certificate that the relay makes itself is out of its dates. */
static bool is_one_useless(const struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->config.listeners_len; i++)
		if (!*daemon->config.listeners[i].cert_file && daemon->listeners[i].tls &&
		    (daemon->listeners[i].dates == CLV_DATES_EXPIRED ||
		     daemon->listeners[i].dates == CLV_DATES_NOT_YET))
			return true;
	return false;
}

void clv_keeper_follow_clock(struct clv_daemon *daemon, uint64_t now_ns)
{
	const int64_t ahead_sec = (int64_t)time(NULL) - (int64_t)(now_ns / CLV_SEC);
	struct clv_keeper *k = daemon->keeper;

	/* Both are rounded to seconds. */
	if (!k || (ahead_sec >= k->wall_ahead_sec - 1 && ahead_sec <= k->wall_ahead_sec + 1))
		return;
	k->wall_ahead_sec = ahead_sec;
	clv_keeper_tick(daemon, now_ns);
	/* Handshakes wait a moment rather than be refused by their clients. */
	if (is_one_useless(daemon))
		wait_for(daemon, has_renewed, RENEW_MSEC);
}

void clv_keeper_close(struct clv_daemon *daemon)
{
	struct clv_keeper *k = daemon->keeper;

	if (!k)
		return;
	forget_answer(k);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
	daemon->keeper = NULL;
}
