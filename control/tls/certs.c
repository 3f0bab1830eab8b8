/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/certs.h"

#include "control/tls/certgen.h"
#include "control/tls/dates.h"
#include "control/tls/pem.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_LEN = sizeof(((struct clv_certs *)0)->cert_file),
	KEY_MODE = 0600,
	CERT_MODE = 0644,
	FOLDER_MODE = 0700,
};

/* The files of one profile, and the buffer for error messages. */
struct store {
	enum clv_profile profile;
	char directory[PATH_LEN];
	char ca_cert[PATH_LEN], ca_key[PATH_LEN];
	char leaf_cert[PATH_LEN], leaf_key[PATH_LEN];
	char *error;
	size_t error_len;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct store *st, int err,
						      const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(st->error, st->error_len, fmt, args);
	va_end(args);
	return err;
}

/* Returns 0 or -ENAMETOOLONG. */
static int join(char out[PATH_LEN], const char *directory, const char *file)
{
	int n = snprintf(out, PATH_LEN, "%s/%s", directory, file);

	/* Leave room for the suffix of the temporary name. */
	return n < 0 || n >= PATH_LEN - 8 ? -ENAMETOOLONG : 0;
}

static int name_files(struct store *st, const char *state_dir)
{
	bool pqc = st->profile == CLV_PROFILE_PQC;

	if (join(st->directory, state_dir, "tls") ||
	    join(st->ca_cert, st->directory, pqc ? "ca.pem" : "hybrid-ca.pem") ||
	    join(st->ca_key, st->directory, pqc ? "ca.key" : "hybrid-ca.key") ||
	    join(st->leaf_cert, st->directory, pqc ? "pqc.pem" : "hybrid.pem") ||
	    join(st->leaf_key, st->directory, pqc ? "pqc.key" : "hybrid.key"))
		return fail(st, -ENAMETOOLONG, "%s: the path is too long", state_dir);
	return 0;
}

static int make_directory(const struct store *st, const char *path)
{
	if (mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST)
		return 0;
	return fail(st, -errno, "%s: cannot make the directory: %s", path, strerror(errno));
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Write all of text.  Returns 0 or -errno. */
static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int sync_directory(const struct store *st)
{
	int fd = open(st->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* The name under which a file is written before it is renamed to path. */
static void name_draft(char draft[static PATH_LEN], const char *path)
{
	snprintf(draft, PATH_LEN, "%.*s.new", PATH_LEN - 8, path);
}

static void drop_draft(const char *path)
{
	char draft[PATH_LEN];

	name_draft(draft, path);
	unlink(draft);
}

/* Write text to a draft beside path and sync it.  Leaves no draft on failure. */
static int write_draft(const struct store *st, const char *path, const char *text, mode_t mode)
{
	char draft[PATH_LEN];
	int fd, err;

	name_draft(draft, path);
	unlink(draft); /* left by a crash */
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return fail(st, -errno, "%s: cannot write: %s", draft, strerror(errno));
	err = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text);
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err)
		return 0;
	unlink(draft);
	return fail(st, err, "%s: cannot write: %s", path, strerror(-err));
}

static int put_draft(const struct store *st, const char *path)
{
	char draft[PATH_LEN];
	int err;

	name_draft(draft, path);
	err = rename(draft, path) < 0 ? -errno : sync_directory(st);
	return err ? fail(st, err, "%s: cannot write: %s", path, strerror(-err)) : 0;
}

/*
 * Replace a key and its certificate.  Both are on disk before either is renamed, so that a full
 * disk leaves the old ones; a crash may leave the new key with the certificate still a draft.
 */
static int replace_pair(const struct store *st, const char *key_path, const char *key,
			const char *cert_path, const char *cert)
{
	int err = write_draft(st, cert_path, cert, CERT_MODE);

	if (!err)
		err = write_draft(st, key_path, key, KEY_MODE);
	if (!err)
		err = put_draft(st, key_path);
	if (!err)
		err = put_draft(st, cert_path);
	if (err) {
		drop_draft(key_path);
		drop_draft(cert_path);
	}
	return err;
}

/* Complete a replacement that a crash interrupted between the two renames: the draft of the CA's
 * certificate belongs to its key. */
static bool finish_ca(const struct store *st)
{
	struct clv_pem_file draft;
	char path[PATH_LEN], *key = NULL;
	size_t key_len;
	bool is_done;

	name_draft(path, st->ca_cert);
	if (!exists(path) || clv_pem_load(path, &draft))
		return false;
	is_done = clv_pem_read(st->ca_key, &key, &key_len) == 0 &&
		  clv_certgen_is_pair(draft.text, key) == 1 && put_draft(st, st->ca_cert) == 0;
	clv_certgen_free_key(key);
	clv_pem_free(&draft);
	return is_done;
}

/* Load certificates that we generated, and check that they match the profile. */
static int load_certs(const struct store *st, const char *path, struct clv_pem_file *out,
		      struct clv_cert_facts *first)
{
	struct clv_cert_facts facts;
	int err = clv_pem_load(path, out);

	if (err == CLV_ESYNTAX || err == -ENODATA)
		return fail(st, CLV_ESYNTAX,
			    "%s: damaged, or not a certificate; move it away to have a "
			    "new one made",
			    path);
	if (err)
		return fail(st, err, "%s: cannot read: %s", path, clv_strerror(err));
	err = clv_cert_read(&out->certs[0], &facts);
	if (!err && st->profile == CLV_PROFILE_PQC && !clv_cert_is_pqc(&facts)) {
		err = fail(st, CLV_ESYNTAX, "%s: %s, but profile pqc accepts ML-DSA-65 only", path,
			   facts.key_algorithm);
	} else if (err) {
		fail(st, err, "%s: %s", path, clv_strerror(err));
	}
	if (err) {
		clv_pem_free(out);
		return err;
	}
	*first = facts;
	return 0;
}

static int make_ca(const struct store *st)
{
	struct clv_certgen made;
	int err;

	if (exists(st->ca_key) && finish_ca(st))
		return 0;
	if (exists(st->ca_key))
		return fail(st, CLV_ESYNTAX,
			    "%s exists, but %s does not; restore that or move this "
			    "away",
			    st->ca_key, st->ca_cert);
	err = clv_certgen_ca(st->profile, &made);
	if (err)
		return fail(st, err, "%s: cannot make a CA: %s", st->ca_cert, clv_strerror(err));
	err = replace_pair(st, st->ca_key, made.key_pem, st->ca_cert, made.cert_pem);
	clv_certgen_free(&made);
	return err;
}

/* Load the CA's certificate; generate the CA if there is none. */
static int get_ca(const struct store *st, struct clv_pem_file *ca)
{
	struct clv_cert_facts facts;
	int err = 0;

	if (!exists(st->ca_cert))
		err = make_ca(st);
	if (!err)
		err = load_certs(st, st->ca_cert, ca, &facts);
	if (err)
		return err;
	if (facts.is_ca && facts.not_after > clv_dates_now() &&
	    (clv_dates_is_clock_early() || facts.not_before <= clv_dates_now()))
		return 0;
	clv_pem_free(ca);
	return fail(st, CLV_ETLS, "%s: %s; move it and its key away to have new ones made",
		    st->ca_cert,
		    !facts.is_ca ? "not the certificate of a CA"
		    : facts.not_after <= clv_dates_now()
			    ? "has expired"
			    : "is not valid yet: a clock is wrong, or was");
}

/* Whether less than a third of its lifetime is left. */
static bool is_old(const struct clv_cert_facts *facts)
{
	time_t life = facts->not_after - facts->not_before;

	return facts->not_after - clv_dates_now() < life / 3;
}

/*
 * Whether the leaf on disk can be used.  Returns 1, 0 (make a new one), or an error on which the
 * files must not be overwritten.
 */
static int check_leaf(const struct store *st, const struct clv_pem_file *ca,
		      const char *const *names, size_t names_len)
{
	struct clv_pem_file leaf;
	struct clv_cert_facts facts;
	char *key = NULL;
	size_t key_len;
	int res;

	if (!exists(st->leaf_cert) || !exists(st->leaf_key))
		return 0;
	res = load_certs(st, st->leaf_cert, &leaf, &facts);
	if (res)
		return res;
	res = clv_pem_read(st->leaf_key, &key, &key_len);
	if (res) {
		fail(st, res, "%s: cannot read: %s", st->leaf_key, clv_strerror(res));
		goto free_leaf;
	}
	/* 0 after a crash between the two renames: key and certificate do not match. */
	res = clv_certgen_is_pair(leaf.text, key);
	if (res < 0) {
		fail(st, res, "%s: damaged, or not a key; move it away to have a new one made",
		     st->leaf_key);
		goto free_leaf;
	}
	res = res && !is_old(&facts) && clv_cert_is_issuer(&ca->certs[0], &leaf.certs[0]);
	if (res)
		res = clv_cert_has_names(&leaf.certs[0], names, names_len);
free_leaf:
	clv_certgen_free_key(key);
	clv_pem_free(&leaf);
	return res;
}

/* Append the CA to the leaf: a peer that pins the CA's fingerprint needs it. */
static char *chain_of(const char *leaf_pem, const char *ca_pem)
{
	char *chain;

	return asprintf(&chain, "%s%s", leaf_pem, ca_pem) < 0 ? NULL : chain;
}

/* The signing key must be that of the CA's certificate, or nobody could verify the leaf. */
static bool is_signed_by(const char *leaf_pem, const struct clv_pem_file *ca)
{
	struct clv_pem_file leaf;
	bool is;

	if (clv_pem_parse(leaf_pem, &leaf))
		return false;
	is = clv_cert_is_issuer(&ca->certs[0], &leaf.certs[0]);
	clv_pem_free(&leaf);
	return is;
}

/*
 * The leaf's key, which a new certificate keeps.  *key_pem: NULL when there is none, or one of before
 * the public key stood behind it.
 * Returns 0, or a failure.
 */
static int read_leaf_key(const struct store *st, char **key_pem)
{
	uint8_t pin[32];
	size_t len;
	int err;

	*key_pem = NULL;
	if (!exists(st->leaf_key))
		return 0;
	err = clv_pem_read(st->leaf_key, key_pem, &len);
	if (err)
		return fail(st, err, "%s: cannot read: %s", st->leaf_key, clv_strerror(err));
	if (clv_certgen_key_pin(st->profile, *key_pem, pin) == 0)
		return 0;
	clv_certgen_free_key(*key_pem);
	*key_pem = NULL;
	return 0;
}

static int make_leaf(const struct store *st, const struct clv_pem_file *ca,
		     const char *const *names, size_t names_len)
{
	struct clv_certgen made = { 0 };
	char *ca_key = NULL, *leaf_key = NULL, *chain = NULL;
	size_t len;
	int err;

	err = clv_pem_read(st->ca_key, &ca_key, &len);
	if (err)
		return fail(st, err, "%s: needed to make %s: %s", st->ca_key, st->leaf_cert,
			    clv_strerror(err));
	err = read_leaf_key(st, &leaf_key);
	if (err)
		goto free_made;
	err = clv_certgen_leaf(st->profile, &ca->certs[0], ca_key, leaf_key, names, names_len,
			       &made);
	if (err == CLV_ESYNTAX)
		fail(st, err, "%s: damaged, or not a key of this profile", st->ca_key);
	else if (err == CLV_ERANGE)
		fail(st, err = CLV_ESYNTAX,
		     "certificate-names: at most %d, each a DNS name or an address",
		     CLV_CERTGEN_NAMES_MAX);
	else if (err)
		fail(st, err, "%s: cannot be made: %s", st->leaf_cert, clv_strerror(err));
	else if (!is_signed_by(made.cert_pem, ca))
		err = fail(st, CLV_ESYNTAX, "%s: not the key of %s", st->ca_key, st->ca_cert);
	if (err)
		goto free_made;
	chain = chain_of(made.cert_pem, ca->text);
	if (!chain)
		err = fail(st, -ENOMEM, "%s: out of memory", st->leaf_cert);
	if (!err)
		err = replace_pair(st, st->leaf_key, made.key_pem, st->leaf_cert, chain);
	free(chain);
free_made:
	clv_certgen_free(&made);
	clv_certgen_free_key(ca_key);
	clv_certgen_free_key(leaf_key);
	return err;
}

/* Fill out's pin from the leaf's key, made now if there is none.  Returns -EAGAIN, or a failure. */
static int wait_for_clock(const struct store *st, struct clv_certs *out)
{
	char *key = NULL;
	int err = read_leaf_key(st, &key);

	if (!err && !key) {
		err = clv_certgen_key(st->profile, &key);
		if (err)
			return fail(st, err, "%s: cannot make a key: %s", st->leaf_key,
				    clv_strerror(err));
		err = write_draft(st, st->leaf_key, key, KEY_MODE);
		if (!err)
			err = put_draft(st, st->leaf_key);
	}
	if (!err)
		err = clv_certgen_key_pin(st->profile, key, out->pin);
	clv_certgen_free_key(key);
	if (err)
		return err;
	return fail(
		st, -EAGAIN,
		"%s: the clock is before the day this program was built; no certificate is made "
		"until it is set",
		st->leaf_cert);
}

/* Tell what there is now. */
static int describe(const struct store *st, const struct clv_pem_file *ca, struct clv_certs *out)
{
	struct clv_pem_file chain;
	int err = clv_pem_load(st->leaf_cert, &chain);

	if (!err) {
		err = clv_cert_pin(&chain.certs[0], out->pin);
		clv_pem_free(&chain);
	}
	if (err)
		return fail(st, err, "%s: cannot read: %s", st->leaf_cert, clv_strerror(err));
	memcpy(out->cert_file, st->leaf_cert, PATH_LEN);
	memcpy(out->key_file, st->leaf_key, PATH_LEN);
	clv_cert_sha256(&ca->certs[0], out->ca_sha256);
	return 0;
}

int clv_certs_ensure(enum clv_profile profile, const char *state_dir, const char *const *names,
		     size_t names_len, struct clv_certs *out, char *error, size_t error_len)
{
	struct store st = { .profile = profile, .error = error, .error_len = error_len };
	struct clv_pem_file ca;
	int res;

	res = name_files(&st, state_dir);
	if (!res)
		res = make_directory(&st, state_dir);
	if (!res)
		res = make_directory(&st, st.directory);
	if (!res && clv_dates_is_clock_early() && (!exists(st.ca_cert) || !exists(st.leaf_cert)))
		return wait_for_clock(&st, out);
	if (!res)
		res = get_ca(&st, &ca);
	if (res)
		return res;
	/* With a clock that is wrong the leaf is served as it is. */
	res = clv_dates_is_clock_early() ? 1 : check_leaf(&st, &ca, names, names_len);
	if (res == 0)
		res = make_leaf(&st, &ca, names, names_len);
	else if (res == 1)
		res = 0;
	if (!res)
		res = describe(&st, &ca, out);
	clv_pem_free(&ca);
	return res;
}
