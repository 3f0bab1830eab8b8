/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/credentials.h"

#include "control/admission/bearer_key.h"
#include "control/admission/policy.h"
#include "control/daemon/keeper.h"
#include "control/daemon/links.h"
#include "control/tls/tls.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/output.h"
#include "datapath/base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	REMEMBER_SEC = 3600,   /* a correct password */
	NET_SHARE = 8,	       /* failed attempts of a /24 or /48, as a multiple of a host's */
	FAILED_SOURCES = 4096, /* sources of failed attempts that are tracked */
};

/* Request certificates of clients where one of them may matter. */
static void ask_clients(struct clv_daemon *daemon, enum clv_access_mode mode)
{
	struct clv_credentials *c = &daemon->credentials;
	const struct clv_user *all;
	size_t n = clv_users_all(c->users, &all), known = 0;

	for (size_t i = 0; i < n; i++)
		known += all[i].has_key || all[i].has_ca;
	c->serves_nobody = mode == CLV_ACCESS_CERTIFICATE && !known;
	/* On signal streams the identity of a client matters, whoever lets it in. */
	c->asks_clients = mode == CLV_ACCESS_CERTIFICATE || (mode == CLV_ACCESS_TOKEN && known) ||
			  daemon->config.signal.is_offered;
	for (size_t i = 0; i < daemon->config.listeners_len; i++)
		if (daemon->listeners[i].tls)
			clv_tls_server_ask(daemon->listeners[i].tls, c->asks_clients);
}

/* Read the users file; a missing one holds no users. */
static int load_users(struct clv_daemon *daemon, const char *path, struct clv_users **out)
{
	int err = clv_users_load(path, daemon->credentials.seed, out, daemon->error,
				 sizeof(daemon->error));

	if (err == -ENOENT)
		*out = NULL;
	return err == -ENOENT ? 0 : err;
}

/* Whether the file is what invalidates tokens of anybody. */
static bool has_revoked(const struct clv_users *users)
{
	const struct clv_user *all;
	size_t n = clv_users_all(users, &all);

	for (size_t i = 0; i < n; i++)
		if (all[i].revoked_sec)
			return true;
	return false;
}

/* The same after the drop of privileges, when only the keeper may still read it. */
static int reload_users(struct clv_daemon *daemon, struct clv_users **out)
{
	char *text;
	int err = clv_keeper_read(daemon, CLV_KEEPER_USERS, &text);

	if (err == -ENOENT && has_revoked(daemon->credentials.users)) {
		snprintf(daemon->error, sizeof(daemon->error),
			 "%s is gone: without it the links of removed users would be valid again",
			 daemon->config.access_users);
		return err;
	}
	if (err == -ENOENT) {
		*out = NULL;
		return 0;
	}
	if (err)
		return err;
	err = clv_users_parse(daemon->config.access_users, text, strlen(text),
			      daemon->credentials.seed, out, daemon->error, sizeof(daemon->error));
	explicit_bzero(text, strlen(text));
	free(text);
	return err;
}

/* The list of clients as a table; NULL when the list is empty.  Its prefixes were checked. */
static int clients_of(struct clv_daemon *daemon, const struct clv_config *config,
		      struct clv_verdicts **out)
{
	const struct clv_config_list *list = &config->access_clients;
	struct clv_verdicts_rule *rules;
	size_t i;
	int err = 0;

	*out = NULL;
	if (!list->len)
		return 0;
	rules = calloc(list->len, sizeof(*rules));
	if (!rules)
		return clv_daemon_fail(daemon, -ENOMEM, "access: clients");
	for (i = 0; i < list->len && !err; i++) {
		rules[i].verdict = CLV_VERDICT_ALLOW;
		err = clv_policy_parse_prefix(list->items[i], &rules[i].prefix);
	}
	err = err ? err : clv_verdicts_new(rules, list->len, out);
	free(rules);
	return clv_daemon_fail(daemon, err, "access: clients");
}

int clv_credentials_publish(struct clv_daemon *daemon, const struct clv_config *config)
{
	const struct clv_config_list *list = &config->access_clients;
	struct clv_prefix *prefixes = calloc(list->len + 1, sizeof(*prefixes));
	int err = prefixes ? 0 : -ENOMEM;

	for (size_t i = 0; i < list->len && !err; i++)
		err = clv_policy_parse_prefix(list->items[i], &prefixes[i]);
	err = err ? err : clv_maps_set_clients(&daemon->maps, prefixes, list->len);
	free(prefixes);
	return clv_daemon_fail(daemon, err, "access: clients");
}

void clv_credentials_warn(const struct clv_daemon *daemon, const struct clv_config *config)
{
	if (daemon->credentials.serves_nobody)
		clv_log(CLV_LOG_WARN, "no_client_has_a_certificate",
			"hint=\"mode = certificate serves nobody yet: culvertctl user add NAME --key "
			"ID\"");
	if (config->access_mode == CLV_ACCESS_OPEN)
		clv_log(CLV_LOG_WARN, "open_relay",
			"clients=%s hint=\"mode = open: %s may send UDP through this relay\"",
			config->access_clients.len ? "listed" : "any",
			config->access_clients.len ? "every client of the list" : "everybody");
}

/* Links hold secrets: they go to a terminal, and into no log. */
static void print_link(struct clv_daemon *daemon, const struct clv_users *users)
{
	const struct clv_links_request request = {
		.config = &daemon->config,
		.state_dir = daemon->options.state_dir,
		.users = users,
		.name = CLV_LINKS_DEFAULT_NAME,
		.wall_sec = (uint64_t)time(NULL),
	};
	char link[CLV_RELAY_LINK_MAX], ignored[CLV_DAEMON_ERROR_MAX];

	if (daemon->config.access_mode != CLV_ACCESS_TOKEN || !isatty(STDERR_FILENO))
		return;
	/* It fails when the default credential was removed, which is no fault. */
	if (clv_links_make(&request, link, ignored, sizeof(ignored)) == 0) {
		clv_output_print(STDERR_FILENO, "clients connect with --relay '%s'\n", link);
		if (clv_links_is_local_host(clv_links_host(&request)))
			clv_output_print(
				STDERR_FILENO,
				"set access.host if clients elsewhere do not find \"%s\"\n",
				clv_links_host(&request));
	}
	explicit_bzero(link, sizeof(link));
}

int clv_credentials_check(struct clv_daemon *daemon)
{
	struct clv_users *users = NULL;
	int err = load_users(daemon, daemon->config.access_users, &users);

	clv_users_free(users);
	return err;
}

int clv_credentials_open(struct clv_daemon *daemon)
{
	const struct clv_config *config = &daemon->config;
	struct clv_credentials *c = &daemon->credentials;
	const uint32_t per_sec = config->access_failures_per_sec;
	const uint32_t burst = config->access_failures_burst;
	struct clv_access_params params = {
		.mode = (enum clv_access_mode)config->access_mode,
		.failures = { .host = clv_rate_of(per_sec, burst),
			      .net = clv_rate_of(NET_SHARE * per_sec, NET_SHARE * burst) },
		.sources = FAILED_SOURCES,
		.checks_max = config->access_checks_max,
		.remember_ns = REMEMBER_SEC * CLV_SEC,
	};
	struct clv_rand rand;
	char path[4096];
	int err;

	clv_rand_init(&rand, 0);
	clv_rand_bytes(&rand, params.secret, sizeof(params.secret));
	clv_rand_bytes(&rand, c->seed, sizeof(c->seed));
	explicit_bzero(&rand, sizeof(rand));
	clv_links_key_path(daemon->options.state_dir, path, sizeof(path));
	err = clv_bearer_key_load(path, params.token_key, daemon->error, sizeof(daemon->error));
	err = err ? err : load_users(daemon, config->access_users, &c->users);
	err = err ? err : clients_of(daemon, config, &params.clients);
	if (!err) {
		err = clv_daemon_fail(daemon, clv_access_init(&c->access, &params), "access");
		c->is_open = !err;
		clv_verdicts_unref(params.clients);
	}
	explicit_bzero(&params, sizeof(params));
	if (err)
		return err;
	clv_access_set_users(&c->access, c->users);
	ask_clients(daemon, (enum clv_access_mode)config->access_mode);
	clv_credentials_warn(daemon, config);
	print_link(daemon, c->users);
	return 0;
}

int clv_credentials_reload(struct clv_daemon *daemon, const struct clv_config *config)
{
	struct clv_credentials *c = &daemon->credentials;
	struct clv_users *users = NULL, *old = c->users;
	struct clv_verdicts *clients;
	int err;

	/* Another file takes a restart. */
	err = reload_users(daemon, &users);
	if (err)
		return err;
	err = clients_of(daemon, config, &clients);
	err = err ? err : clv_credentials_publish(daemon, config);
	if (err) {
		clv_verdicts_unref(clients);
		clv_users_free(users);
		return err;
	}
	clv_access_set_rules(&c->access, (enum clv_access_mode)config->access_mode, clients);
	clv_verdicts_unref(clients);
	clv_access_set_users(&c->access, users);
	c->users = users;
	clv_users_free(old);
	ask_clients(daemon, (enum clv_access_mode)config->access_mode);
	return 0;
}

void clv_credentials_close(struct clv_daemon *daemon)
{
	struct clv_credentials *c = &daemon->credentials;

	if (c->is_open)
		clv_access_fini(&c->access);
	c->is_open = false;
	clv_users_free(c->users);
	c->users = NULL;
}
