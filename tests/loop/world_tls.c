/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/world_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/tls/certgen.h"
#include "control/tls/certs.h"

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "world: %s failed\n", what);
	abort();
}

static void remove_state(const char *dir)
{
	static const char *const files[] = { "tls/ca.pem", "tls/ca.key", "tls/pqc.pem",
					     "tls/pqc.key", "tls" };
	char path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		remove(path);
	}
	rmdir(dir);
}

static char *identities[WORLD_CLIENTS_MAX]; /* keys, for all worlds of this program */

const char *world_identity(unsigned i)
{
	if (!identities[i])
		must(clv_certgen_key(CLV_PROFILE_PQC, &identities[i]) == 0, "key");
	return identities[i];
}

/* The context of a client with a key. */
static struct clv_tls_context *identity_tls(unsigned i, const uint8_t pin[static 32])
{
	static struct clv_tls_context *made[WORLD_CLIENTS_MAX];
	struct clv_tls_client_params p = { .profile = CLV_PROFILE_PQC, .ca_sha256 = pin };
	char error[256] = "", *cert;

	if (!made[i]) {
		p.key_pem = world_identity(i);
		must(clv_certgen_self(p.key_pem, &cert) == 0, "certificate");
		p.cert_pem = cert;
		p.identity_name = "identity";
		must(clv_tls_client_context(&p, &made[i], error, sizeof(error)) == 0, error);
		free(cert);
	}
	return made[i];
}

void world_tls_make(struct world *w)
{
	static const char *const names[] = { "relay.test" };
	static struct clv_tls_context *server, *client; /* for all worlds of this program */
	static uint8_t pin[32];
	struct clv_tls_server_params sp = { .profile = CLV_PROFILE_PQC };
	struct clv_tls_client_params lp = { .profile = CLV_PROFILE_PQC };
	char error[256] = "", dir[] = "/tmp/culvert-loop-XXXXXX";
	struct clv_certs certs;

	if (!server) {
		must(mkdtemp(dir) != NULL, "mkdtemp");
		must(clv_certs_ensure(CLV_PROFILE_PQC, dir, names, 1, &certs, error,
				      sizeof(error)) == 0,
		     error);
		sp.cert_file = certs.cert_file;
		sp.key_file = certs.key_file;
		memcpy(pin, certs.pin, sizeof(pin));
		lp.ca_sha256 = pin;
		must(clv_tls_server_context(&sp, &server, error, sizeof(error)) == 0, error);
		must(clv_tls_client_context(&lp, &client, error, sizeof(error)) == 0, error);
		remove_state(dir);
		clv_tls_server_ask(server, true);
	}
	for (unsigned i = 0; i < WORLD_CLIENTS_MAX; i++)
		w->identity_tls[i] = w->p.has_identity[i] ? identity_tls(i, pin) : NULL;
	w->server_tls = server;
	w->client_tls = client;
}
