/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/certificates.h"

#include "control/tls/certgen.h"
#include "control/tls/certs.h"
#include "control/tls/dates.h"
#include "control/tls/pem.h"
#include "control/tls/tls.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	DAY_SEC = 86400,
};

/* ---- dates ---- */

static enum clv_certificate_dates judge_dates(const struct clv_tls_identity *identity, time_t now)
{
	const time_t life = identity->not_after - identity->not_before;

	if (now < identity->not_before)
		return CLV_DATES_NOT_YET;
	if (now >= identity->not_after)
		return CLV_DATES_EXPIRED;
	return identity->not_after - now < life / 10 ? CLV_DATES_SOON : CLV_DATES_GOOD;
}

static void log_dates(const struct clv_daemon *daemon, size_t index, time_t now)
{
	static const struct {
		enum clv_log_level level;
		const char *event, *hint;
	} texts[] = {
		[CLV_DATES_SOON] = { CLV_LOG_WARN, "certificate_ends_soon",
				     "renew it, then reload" },
		[CLV_DATES_EXPIRED] = { CLV_LOG_ERROR, "certificate_expired",
					"no client trusts it: renew it, then reload" },
		[CLV_DATES_NOT_YET] = { CLV_LOG_ERROR, "certificate_not_yet_valid",
					"no client trusts it, unless the clock here is wrong" },
	};
	const struct clv_daemon_listener *l = &daemon->listeners[index];
	char before[CLV_DATE_TEXT_MAX], after[CLV_DATE_TEXT_MAX], today[CLV_DATE_TEXT_MAX];

	if (l->dates == CLV_DATES_GOOD)
		return;
	clv_log(texts[l->dates].level, texts[l->dates].event,
		"listener=%s not_before=%s not_after=%s clock=%s hint=\"%s\"",
		daemon->config.listeners[index].name,
		clv_dates_format(l->identity.not_before, before),
		clv_dates_format(l->identity.not_after, after), clv_dates_format(now, today),
		texts[l->dates].hint);
}

bool clv_certificates_watch(struct clv_daemon *daemon, size_t index, uint64_t now_ns)
{
	struct clv_daemon_listener *l = &daemon->listeners[index];
	bool is_own = !*daemon->config.listeners[index].cert_file;
	time_t now = time(NULL);
	enum clv_certificate_dates dates;

	if (!l->tls)
		return is_own;
	dates = judge_dates(&l->identity, now);
	if (dates != l->dates || now_ns - l->dates_seen_ns >= DAY_SEC * CLV_SEC) {
		l->dates = dates;
		l->dates_seen_ns = now_ns;
		log_dates(daemon, index, now);
	}
	return is_own &&
	       (dates == CLV_DATES_NOT_YET ||
		l->identity.not_after - now < (l->identity.not_after - l->identity.not_before) / 3);
}

int clv_certificates_check(struct clv_daemon *daemon)
{
	char before[CLV_DATE_TEXT_MAX], after[CLV_DATE_TEXT_MAX];
	struct clv_tls_identity identity;
	enum clv_certificate_dates dates;
	struct clv_tls_context *tls;
	size_t i;
	int err;

	for (i = 0; i < daemon->config.listeners_len; i++) {
		const struct clv_config_listener *l = &daemon->config.listeners[i];
		const struct clv_tls_server_params params = {
			.profile = (enum clv_profile)l->profile,
			.cert_file = l->cert_file,
			.key_file = l->key_file,
		};

		if (!*l->cert_file)
			continue;
		err = clv_tls_server_context(&params, &tls, daemon->error, sizeof(daemon->error));
		if (err)
			return err;
		clv_tls_server_identity(tls, &identity);
		clv_tls_context_free(tls);
		dates = judge_dates(&identity, time(NULL));
		if (dates != CLV_DATES_EXPIRED && dates != CLV_DATES_NOT_YET)
			continue;
		snprintf(daemon->error, sizeof(daemon->error),
			 "%s: %s: valid from %s to %s (a date, not the signature)", l->cert_file,
			 dates == CLV_DATES_EXPIRED ? "has expired" : "is not valid yet",
			 clv_dates_format(identity.not_before, before),
			 clv_dates_format(identity.not_after, after));
		return CLV_ETLS;
	}
	return 0;
}

/* ---- reading ---- */

/* The names under which clients may know this relay. */
struct names {
	char text[CLV_CERTGEN_NAMES_MAX][CLV_ADDR_TEXT_MAX]; /* of addresses */
	const char *list[CLV_CERTGEN_NAMES_MAX];
	size_t len;
};

static void add_name(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->len; i++)
		if (strcmp(names->list[i], name) == 0)
			return;
	if (names->len < CLV_CERTGEN_NAMES_MAX)
		names->list[names->len++] = name;
}

/*
 * Own addresses that strangers can reach.  Private ones would tell everybody what the network behind
 * the relay looks like; who wants them in the certificate lists them in certificate-names.
 */
int clv_certificates_find_addresses(struct clv_daemon *daemon, bool *has_more)
{
	const uint8_t(*own)[16];
	const size_t own_len = clv_routes_own(daemon->routes, &own);
	uint8_t found[CLV_CERTGEN_NAMES_MAX][16];
	struct clv_policy *special;
	size_t i, k, len = 0;
	const char *why;
	char error[128];
	int err = clv_policy_new(NULL, 0, NULL, 0, &special, error, sizeof(error));

	*has_more = false;
	if (err)
		return clv_daemon_fail(daemon, err, "certificate-names");
	for (i = 0; i < own_len && len < CLV_CERTGEN_NAMES_MAX; i++) {
		if (clv_policy_check(special, own[i], NULL, NULL, &why))
			continue;
		for (k = 0; k < daemon->public_own_len; k++)
			if (memcmp(daemon->public_own[k], own[i], sizeof(found[0])) == 0)
				break;
		*has_more |= k == daemon->public_own_len;
		memcpy(found[len++], own[i], sizeof(found[0]));
	}
	clv_policy_free(special);
	memcpy(daemon->public_own, found, len * sizeof(found[0]));
	daemon->public_own_len = len;
	return 0;
}

static void find_names(const struct clv_daemon *daemon, struct names *names)
{
	const struct clv_config *config = &daemon->config;

	add_name(names, clv_daemon_host_name());
	if (*config->access_host)
		add_name(names, config->access_host);
	/* Clients of such a listener know its address already. */
	for (size_t i = 0; i < config->listeners_len; i++)
		if (*config->listeners[i].address)
			add_name(names, config->listeners[i].address);
	for (size_t i = 0; i < daemon->public_own_len && names->len < CLV_CERTGEN_NAMES_MAX; i++)
		add_name(names, clv_addr_format(daemon->public_own[i], names->text[names->len],
						sizeof(names->text[0])));
}

static int make_certificate(struct clv_daemon *daemon, enum clv_profile profile,
			    struct clv_certs *out)
{
	const struct clv_config_list *given = &daemon->config.certificate_names;
	struct names names = { .len = 0 };

	if (given->len)
		return clv_certs_ensure(profile, daemon->options.state_dir,
					(const char *const *)given->items, given->len, out,
					daemon->error, sizeof(daemon->error));
	find_names(daemon, &names);
	return clv_certs_ensure(profile, daemon->options.state_dir, names.list, names.len, out,
				daemon->error, sizeof(daemon->error));
}

static int read_file(struct clv_daemon *daemon, const char *path, char **text)
{
	size_t len;

	return clv_daemon_fail(daemon, clv_pem_read(path, text, &len), path);
}

int clv_certificates_read(struct clv_daemon *daemon, size_t index, struct clv_certificate *out)
{
	const struct clv_config_listener *config = &daemon->config.listeners[index];
	struct clv_daemon_listener *l = &daemon->listeners[index];
	const char *cert_file = config->cert_file, *key_file = config->key_file;
	int err = 0;

	*out = (struct clv_certificate){ 0 };
	if (!*cert_file) {
		err = make_certificate(daemon, (enum clv_profile)config->profile, &l->certs);
		cert_file = l->certs.cert_file;
		key_file = l->certs.key_file;
	}
	err = err ? err : read_file(daemon, cert_file, &out->cert_pem);
	err = err ? err : read_file(daemon, key_file, &out->key_pem);
	if (err)
		clv_certificates_free(out);
	return err;
}

void clv_certificates_free(struct clv_certificate *c)
{
	free(c->cert_pem);
	clv_certgen_free_key(c->key_pem);
	*c = (struct clv_certificate){ 0 };
}

/* ---- serving ---- */

int clv_certificates_install(struct clv_daemon *daemon, size_t index,
			     const struct clv_certificate *c)
{
	const struct clv_config_listener *config = &daemon->config.listeners[index];
	struct clv_daemon_listener *l = &daemon->listeners[index];
	bool is_own = !*config->cert_file;
	const struct clv_tls_server_params params = {
		.profile = (enum clv_profile)config->profile,
		.cert_file = is_own ? "own certificate" : config->cert_file,
		.key_file = is_own ? "its key" : config->key_file,
		.cert_pem = c->cert_pem,
		.key_pem = c->key_pem,
	};
	struct clv_tls_context *old = l->tls;
	int err;

	err = clv_tls_server_context(&params, &l->tls, daemon->error, sizeof(daemon->error));
	if (err) {
		l->tls = old;
		return err;
	}
	clv_tls_server_identity(l->tls, &l->identity);
	clv_tls_server_ask(l->tls, daemon->credentials.asks_clients);
	if (daemon->control)
		clv_control_set_tls(daemon->control, index, l->tls);
	clv_tls_context_free(old);
	l->dates = judge_dates(&l->identity, time(NULL));
	l->dates_seen_ns = clv_clock_now_ns();
	log_dates(daemon, index, time(NULL));
	return 0;
}

static void print_fingerprint(enum clv_profile profile, const char *what,
			      const uint8_t sha256[static 32])
{
	char hex[2 * 32 + 1];
	size_t i;

	for (i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
	clv_output_print(STDOUT_FILENO, "%s%s: sha256:%s\n",
			 profile == CLV_PROFILE_HYBRID ? "hybrid " : "", what, hex);
}

static int open_certificate(struct clv_daemon *daemon, size_t index)
{
	const struct clv_config_listener *config = &daemon->config.listeners[index];
	struct clv_daemon_listener *l = &daemon->listeners[index];
	struct clv_certificate c;
	int err = clv_certificates_read(daemon, index, &c);

	if (err == -EAGAIN) {
		clv_log(CLV_LOG_ERROR, "no_certificate_yet", "listener=%s because=\"%s\"",
			config->name, daemon->error);
		print_fingerprint((enum clv_profile)config->profile, "pin", l->certs.pin);
		return 0;
	}
	if (!err)
		err = clv_certificates_install(daemon, index, &c);
	clv_certificates_free(&c);
	if (err)
		return err;
	print_fingerprint((enum clv_profile)config->profile, "pin", l->identity.pin);
	/* An operator's CA may vouch for others too: only our own may stand for this relay. */
	if (!*config->cert_file)
		print_fingerprint((enum clv_profile)config->profile, "ca fingerprint",
				  l->certs.ca_sha256);
	return 0;
}

int clv_certificates_open(struct clv_daemon *daemon)
{
	bool has_more;
	size_t i;
	int err = clv_certificates_find_addresses(daemon, &has_more);

	for (i = 0; i < daemon->config.listeners_len && !err; i++)
		err = open_certificate(daemon, i);
	return err;
}

void clv_certificates_close(struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->config.listeners_len; i++) {
		clv_tls_context_free(daemon->listeners[i].tls);
		daemon->listeners[i].tls = NULL;
	}
}
