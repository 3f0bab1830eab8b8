/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/atomic_file.h"
#include "control/admission/identity.h"
#include "control/library/culvert_state.h"
#include "control/tls/certgen.h"
#include "control/tls/pem.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_MODE = 0600,
	FORBIDDEN_MODE = 0077,
};

_Static_assert(CULVERT_ID_TEXT == CLV_IDENTITY_TEXT_LEN + 1, "an identity and its zero");

void identity_free(struct identity *id)
{
	clv_certgen_free_key(id->text);
	free(id->self);
	*id = (struct identity){ 0 };
}

/* Fill the id from the chain in the file or, without one, from the key alone. */
static int identify(struct identity *id)
{
	struct clv_pem_file chain;
	int err;

	if (!strstr(id->text, "-----BEGIN CERTIFICATE-----"))
		return clv_certgen_key_pin(CLV_PROFILE_PQC, id->text, id->id.bytes);
	err = clv_pem_parse(id->text, &chain);
	if (err)
		return err;
	err = clv_cert_pin(&chain.certs[0], id->id.bytes);
	clv_pem_free(&chain);
	return err;
}

/* Read the file.  *out is for identity_free also on failure. */
static int read_identity(const char *path, struct identity *out)
{
	struct stat st;
	size_t len;
	int err;

	*out = (struct identity){ 0 };
	err = clv_atomic_file_read(path, CLV_PEM_FILE_MAX, &out->text, &len, &st);
	if (err)
		return err;
	if (st.st_mode & FORBIDDEN_MODE)
		return -EPERM;
	err = strlen(out->text) == len ? identify(out) : CLV_ESYNTAX;
	return err && err != -ENOMEM ? CLV_ESYNTAX : err;
}

int identity_load(struct culvert *c, const char *path, struct identity *out)
{
	const char *why = NULL;
	int err = read_identity(path, out);

	/* A certificate that only says that the key is the key is made anew each time. */
	if (!err && !strstr(out->text, "-----BEGIN CERTIFICATE-----"))
		err = clv_certgen_self(out->text, &out->self);
	if (!err) {
		out->cert_pem = out->self ? out->self : out->text;
		return 0;
	}
	identity_free(out);
	if (err == -EPERM)
		why = "accessible to other users: chmod 600 it, or make another if it has leaked";
	else if (err == CLV_ESYNTAX)
		why = "no identity: neither a key of `culvert id` nor a key with its certificates";
	else
		why = clv_strerror(err);
	return text_set_why(c, err, "identity %s: %s", path, why);
}

int culvert_identity_read(const char *path, char id[CULVERT_ID_TEXT])
{
	struct identity read;
	int err = read_identity(path, &read);

	if (!err)
		clv_identity_format(&read.id, id);
	identity_free(&read);
	return err;
}

int culvert_identity_make(const char *path, char id[CULVERT_ID_TEXT])
{
	char *key;
	int err = clv_certgen_key(CLV_PROFILE_PQC, &key);

	if (err)
		return err;
	err = clv_atomic_file_create(path, key, strlen(key), KEY_MODE);
	clv_certgen_free_key(key);
	return err ? err : culvert_identity_read(path, id);
}
