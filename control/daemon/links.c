/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/links.h"

#include "control/admission/bearer.h"
#include "control/admission/bearer_key.h"
#include "control/daemon/daemon.h"
#include "control/tls/pem.h"
#include "control/tls/tls.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void clv_links_key_path(const char *state_dir, char *path, size_t path_len)
{
	snprintf(path, path_len, "%s/token.key", state_dir);
}

static const struct clv_config_listener *listener_for(const struct clv_config *config)
{
	size_t i;

	for (i = 0; i < config->listeners_len; i++)
		if (config->listeners[i].profile == CLV_PROFILE_PQC)
			return &config->listeners[i];
	return &config->listeners[0];
}

const char *clv_links_host(const struct clv_links_request *request)
{
	const struct clv_config *config = request->config;

	if (request->host)
		return request->host;
	if (*config->access_host)
		return config->access_host;
	return config->certificate_names.len ? config->certificate_names.items[0]
					     : clv_daemon_host_name();
}

bool clv_links_is_local_host(const char *host)
{
	return !strpbrk(host, ".:");
}

static int pin_of(const struct clv_config_listener *listener, const char *state_dir,
		  uint8_t pin[static 32], char *error, size_t error_len)
{
	char own[PATH_MAX];
	const char *chain = listener->cert_file;
	struct clv_pem_file file;
	int err;

	if (!*chain) {
		snprintf(own, sizeof(own), "%s/tls/%s.pem", state_dir,
			 clv_profile_name((enum clv_profile)listener->profile));
		chain = own;
	}
	err = clv_pem_load(chain, &file);
	if (!err) {
		err = clv_cert_pin(&file.certs[0], pin);
		clv_pem_free(&file);
	}
	if (err)
		snprintf(error, error_len, "%s: %s%s", chain, clv_pem_error(err),
			 err == -ENOENT ? "; culvertd makes it when it starts" : "");
	return err;
}

/* Sign a token that no earlier revocation ends. */
static int make_token(const struct clv_links_request *request, char *out, char *error,
		      size_t error_len)
{
	const struct clv_user *user = clv_users_find(request->users, request->name,
						     strlen(request->name));
	struct clv_bearer bearer = { .issued_sec = request->wall_sec,
				     .expires_sec = request->expires_sec };
	uint8_t key[CLV_BEARER_KEY_LEN];
	char path[PATH_MAX];
	int err;

	if (user ? clv_user_is_tombstone(user)
		 : strcmp(request->name, CLV_LINKS_DEFAULT_NAME) != 0) {
		snprintf(error, error_len, user ? "this user was removed" : "no such user");
		return -ENOENT;
	}
	if (user && bearer.issued_sec <= user->revoked_sec)
		bearer.issued_sec = user->revoked_sec + 1;
	if (bearer.expires_sec && bearer.expires_sec <= bearer.issued_sec) {
		snprintf(error, error_len, "the link would have expired already");
		return CLV_ERANGE;
	}
	snprintf(bearer.name, sizeof(bearer.name), "%s", request->name);
	clv_client_limits_init(&bearer.limits);
	clv_links_key_path(request->state_dir, path, sizeof(path));
	err = clv_bearer_key_load(path, key, error, error_len);
	if (err)
		return err;
	err = clv_bearer_make(key, &bearer, out);
	explicit_bzero(key, sizeof(key));
	if (err)
		snprintf(error, error_len, "token: %s", clv_strerror(err));
	return err;
}

int clv_links_make(const struct clv_links_request *request, char out[static CLV_RELAY_LINK_MAX],
		   char *error, size_t error_len)
{
	const struct clv_config_listener *listener = listener_for(request->config);
	struct clv_relay_link link = { .port = listener->port,
				       .has_pin = true,
				       .has_profile = listener->profile == CLV_PROFILE_HYBRID,
				       .is_hybrid = listener->profile == CLV_PROFILE_HYBRID };
	int err;

	_Static_assert(sizeof(link.token) >= CLV_BEARER_TEXT_MAX, "a link has room for a token");
	if (snprintf(link.host, sizeof(link.host), "%s", clv_links_host(request)) >=
	    (int)sizeof(link.host)) {
		snprintf(error, error_len, "the host name is too long");
		return CLV_ERANGE;
	}
	err = pin_of(listener, request->state_dir, link.pin, error, error_len);
	if (!err && !request->is_public)
		err = make_token(request, link.token, error, error_len);
	if (!err) {
		err = clv_relay_link_format(&link, !request->is_public, out, CLV_RELAY_LINK_MAX);
		if (err)
			snprintf(error, error_len, "%s: not a DNS name or address", link.host);
	}
	clv_relay_link_wipe(&link);
	return err;
}
