/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chains that openssl made, of each algorithm that authorities use: served and verified. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "control/tls/anchors.h"
#include "datapath/base/err.h"
#include "tests/unit/tls/tls_fixture.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Of openssl's -newkey, and the library's name for it. */
struct algorithm {
	const char *newkey, *name;
};

static const struct algorithm ecdsa = { "ec -pkeyopt ec_paramgen_curve:P-256", "ECDSA" };
static const struct algorithm ecdsa384 = { "ec -pkeyopt ec_paramgen_curve:P-384", "ECDSA" };
#ifndef NO_RSA
static const struct algorithm rsa = { "rsa:2048", "RSA" };
#endif
#ifdef HAVE_ED25519
static const struct algorithm ed25519 = { "ed25519", "Ed25519" };
#endif

static void need_openssl(void)
{
	if (system("command -v openssl >/dev/null") != 0) {
		print_message("SKIP no openssl command\n");
		skip();
	}
}

static void run(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* Extensions, as lines of openssl's for printf. */
#define CA_EXT	  "basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=keyCertSign\\n"
#define LEAF_NAME "subjectAltName=DNS:relay.example\\nbasicConstraints=CA:FALSE\\n"
#define LEAF_EXT  LEAF_NAME "keyUsage=digitalSignature\\nextendedKeyUsage=serverAuth\\n"

/* Have the root sign the CA and the CA the leaf, with these extensions: chain.pem. */
static void sign(const char *folder, const char *ca_ext, const char *leaf_ext, const char *signing)
{
	run("cd %s && printf '%s' >ca.ext && openssl x509 -req -in ca.csr -CA root.pem -CAkey "
	    "root.key -CAcreateserial -days 20 -extfile ca.ext -out ca.pem 2>log",
	    folder, ca_ext);
	run("cd %s && printf '%s' >leaf.ext && openssl x509 -req -in leaf.csr -CA ca.pem -CAkey "
	    "ca.key -CAcreateserial -days 10 -extfile leaf.ext -out leaf.pem %s 2>log && cat "
	    "leaf.pem ca.pem >chain.pem",
	    folder, leaf_ext, signing);
}

/* Make a root, a CA below it and a leaf: root.pem, chain.pem and leaf.key in a folder. */
static void make_chain(const char *folder, const struct algorithm *root,
		       const struct algorithm *middle, const struct algorithm *leaf,
		       const char *signing)
{
	run("cd %s && openssl req -x509 -newkey %s -nodes -days 30 -subj '/CN=Test root' -keyout "
	    "root.key -out root.pem 2>log",
	    folder, root->newkey);
	run("cd %s && openssl req -new -newkey %s -nodes -subj '/CN=Test CA' -keyout ca.key -out "
	    "ca.csr 2>log",
	    folder, middle->newkey);
	run("cd %s && openssl req -new -newkey %s -nodes -subj '/CN=leaf' -keyout leaf.key -out "
	    "leaf.csr 2>log",
	    folder, leaf->newkey);
	sign(folder, CA_EXT, LEAF_EXT, signing);
}

/* Serve the chain in a folder; the client trusts its root.  expected: as tls_shake. */
static void shake_in(const char *folder, int expected, const char *signature)
{
	char chain[128], key[128], root[128], error[256] = "";
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_HYBRID,
		.cert_file = chain,
		.key_file = key,
	};
	struct clv_tls_context *s, *c;

	snprintf(chain, sizeof(chain), "%s/chain.pem", folder);
	snprintf(key, sizeof(key), "%s/leaf.key", folder);
	snprintf(root, sizeof(root), "%s/root.pem", folder);
	if (clv_tls_server_context(&p, &s, error, sizeof(error)))
		fail_msg("%s", error);
	c = tls_client(CLV_PROFILE_HYBRID, root, NULL);
	tls_shake(s, c, "relay.example", expected, "X25519MLKEM768", signature);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void hybrid_verifies_chains_of_every_algorithm_of_authorities(void **state)
{
	const struct {
		const struct algorithm *root, *middle, *leaf;
		const char *signing;
	} cases[] = {
		{ &ecdsa, &ecdsa384, &ecdsa, "" },
#ifndef NO_RSA
		{ &rsa, &rsa, &rsa, "" },
		{ &ecdsa384, &rsa, &ecdsa, "-sha384" },
#endif
#ifdef HAVE_ED25519
		{ &ed25519, &ed25519, &ed25519, "" },
		{ &ecdsa, &ed25519, &ecdsa, "" },
#endif
	};

	(void)state;
	need_openssl();
	for (size_t i = 0; i < COUNT(cases); i++) {
		char folder[] = "/tmp/clv-openssl-XXXXXX";

		assert_non_null(mkdtemp(folder));
		make_chain(folder, cases[i].root, cases[i].middle, cases[i].leaf, cases[i].signing);
		shake_in(folder, 0, cases[i].leaf->name);
		run("rm -r %s", folder);
	}
}

static void a_signature_over_sha_1_counts_for_nothing(void **state)
{
	char folder[] = "/tmp/clv-openssl-XXXXXX";

	(void)state;
	need_openssl();
	assert_non_null(mkdtemp(folder));
	make_chain(folder, &ecdsa, &ecdsa, &ecdsa, "-sha1");
	shake_in(folder, CLV_EUNTRUSTED, NULL);
	run("rm -r %s", folder);
}

static void certificates_count_for_what_they_were_made_for(void **state)
{
	const struct {
		const char *ca_ext, *leaf_ext;
		int expected;
	} cases[] = {
		{ CA_EXT, LEAF_EXT, 0 },
		{ CA_EXT, LEAF_NAME, 0 },
		{ CA_EXT, LEAF_NAME "extendedKeyUsage=clientAuth\\n", CLV_EUNTRUSTED },
		{ CA_EXT, LEAF_NAME "keyUsage=keyEncipherment\\n", CLV_EUNTRUSTED },
		{ "basicConstraints=critical,CA:FALSE\\nkeyUsage=digitalSignature\\n", LEAF_EXT,
		  CLV_EUNTRUSTED },
		{ "basicConstraints=critical,CA:TRUE\\nkeyUsage=digitalSignature\\n", LEAF_EXT,
		  CLV_EUNTRUSTED },
		{ CA_EXT "nameConstraints=critical,permitted;DNS:example\\n", LEAF_EXT, 0 },
		{ CA_EXT "nameConstraints=critical,permitted;DNS:other.example\\n", LEAF_EXT,
		  CLV_EUNTRUSTED },
	};
	char folder[] = "/tmp/clv-openssl-XXXXXX";

	(void)state;
	need_openssl();
	assert_non_null(mkdtemp(folder));
	make_chain(folder, &ecdsa, &ecdsa, &ecdsa, "");
	for (size_t i = 0; i < COUNT(cases); i++) {
		print_message("case %zu\n", i);
		sign(folder, cases[i].ca_ext, cases[i].leaf_ext, "");
		shake_in(folder, cases[i].expected, cases[i].expected ? NULL : "ECDSA");
	}
	run("rm -r %s", folder);
}

static void a_self_signed_certificate_is_its_own_root(void **state)
{
	char folder[] = "/tmp/clv-openssl-XXXXXX";

	(void)state;
	need_openssl();
	assert_non_null(mkdtemp(folder));
	run("cd %s && openssl req -x509 -newkey %s -nodes -days 30 -subj /CN=x -addext "
	    "subjectAltName=DNS:relay.example -keyout leaf.key -out chain.pem 2>log && cp chain.pem "
	    "root.pem",
	    folder, ecdsa.newkey);
	shake_in(folder, 0, "ECDSA");
	run("rm -r %s", folder);
}

static void need_bundle(void)
{
	if (access(BUNDLE, R_OK)) {
		print_message("SKIP no " BUNDLE "\n");
		skip();
	}
}

static void a_root_is_found_in_the_bundle_of_the_system(void **state)
{
	char folder[] = "/tmp/clv-openssl-XXXXXX";

	(void)state;
	need_openssl();
	need_bundle();
	assert_non_null(mkdtemp(folder));
	make_chain(folder, &ecdsa384, &ecdsa, &ecdsa, "");
	run("cd %s && cat " BUNDLE " root.pem >all.pem && mv all.pem root.pem", folder);
	shake_in(folder, 0, "ECDSA");
	run("cp " BUNDLE " %s/root.pem", folder);
	shake_in(folder, CLV_EUNTRUSTED, NULL);
	run("rm -r %s", folder);
}

static void the_bundle_of_the_system_is_read(void **state)
{
	struct clv_anchors *anchors;
	char error[256] = "";

	(void)state;
	need_bundle();
	assert_int_equal(
		clv_anchors_load(CLV_PROFILE_HYBRID, BUNDLE, &anchors, error, sizeof(error)), 0);
	assert_true(clv_anchors_len(anchors) > 10);
#ifndef NO_RSA
	assert_true(clv_anchors_len(anchors) > 10 * clv_anchors_left_out(anchors));
#endif
	clv_anchors_unref(anchors);
	/* Not one of its roots is ML-DSA-65 yet. */
	assert_int_equal(clv_anchors_load(CLV_PROFILE_PQC, BUNDLE, &anchors, error, sizeof(error)),
			 CLV_ESYNTAX);
	assert_non_null(strstr(error, "ECDSA"));
	assert_non_null(strstr(error, "ML-DSA-65 only"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hybrid_verifies_chains_of_every_algorithm_of_authorities),
		cmocka_unit_test(a_signature_over_sha_1_counts_for_nothing),
		cmocka_unit_test(certificates_count_for_what_they_were_made_for),
		cmocka_unit_test(a_self_signed_certificate_is_its_own_root),
		cmocka_unit_test(a_root_is_found_in_the_bundle_of_the_system),
		cmocka_unit_test(the_bundle_of_the_system_is_read),
	};

	return cmocka_run_group_tests_name("tls_openssl", tests, NULL, NULL);
}
