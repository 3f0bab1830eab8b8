/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/certificates.h"

#include "control/tls/certgen.h"
#include "control/tls/tls.h"
#include "datapath/base/addr.h"

#include <stdio.h>

int clv_certificates_check(struct clv_daemon *daemon)
{
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
		clv_tls_context_free(tls);
	}
	return 0;
}

/* Make a certificate for the names under which clients may know this relay. */
static int make_certificate(struct clv_daemon *daemon, enum clv_profile profile,
			    struct clv_certs *out)
{
	char text[CLV_CERTGEN_NAMES_MAX][CLV_ADDR_TEXT_MAX];
	const char *names[CLV_CERTGEN_NAMES_MAX];
	const uint8_t(*own)[16];
	size_t i, n = 0, own_len;

	if (daemon->config.certificate_names.len)
		return clv_certs_ensure(profile, daemon->options.state_dir,
					(const char *const *)daemon->config.certificate_names.items,
					daemon->config.certificate_names.len, out, daemon->error,
					sizeof(daemon->error));
	names[n++] = clv_daemon_host_name();
	own_len = clv_routes_own(daemon->routes, &own);
	for (i = 0; i < own_len && n < CLV_CERTGEN_NAMES_MAX; i++, n++)
		names[n] = clv_addr_format(own[i], text[n], sizeof(text[n]));
	return clv_certs_ensure(profile, daemon->options.state_dir, names, n, out, daemon->error,
				sizeof(daemon->error));
}

static void print_fingerprint(enum clv_profile profile, const uint8_t sha256[static 32])
{
	size_t i;

	printf("%sca fingerprint: sha256:", profile == CLV_PROFILE_HYBRID ? "hybrid " : "");
	for (i = 0; i < 32; i++)
		printf("%02x", sha256[i]);
	printf("\n");
	fflush(stdout);
}

int clv_certificates_open(struct clv_daemon *daemon)
{
	size_t i;
	int err;

	for (i = 0; i < daemon->config.listeners_len; i++) {
		const struct clv_config_listener *config = &daemon->config.listeners[i];
		enum clv_profile profile = (enum clv_profile)config->profile;
		struct clv_daemon_listener *l = &daemon->listeners[i];
		struct clv_tls_server_params params = { .profile = profile };

		if (*config->cert_file) {
			params.cert_file = config->cert_file;
			params.key_file = config->key_file;
			err = clv_certs_fingerprint(config->cert_file, l->certs.ca_sha256);
			if (err)
				return clv_daemon_fail(daemon, err, config->cert_file);
		} else {
			err = make_certificate(daemon, profile, &l->certs);
			if (err)
				return err;
			params.cert_file = l->certs.cert_file;
			params.key_file = l->certs.key_file;
		}
		err = clv_tls_server_context(&params, &l->tls, daemon->error,
					     sizeof(daemon->error));
		if (err)
			return err;
		print_fingerprint(profile, l->certs.ca_sha256);
	}
	return 0;
}

void clv_certificates_close(struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->config.listeners_len; i++) {
		clv_tls_context_free(daemon->listeners[i].tls);
		daemon->listeners[i].tls = NULL;
	}
}
