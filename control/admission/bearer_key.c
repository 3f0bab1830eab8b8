/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/bearer_key.h"

#include "control/admission/atomic_file.h"
#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_LEN = 2 * CLV_BEARER_KEY_LEN + 1,
	KEY_MODE = 0600,
	/* A group may read: the files of systemd's LoadCredential have an ACL, whose mask shows there. */
	FORBIDDEN_MODE = 0037,
};

static int decode(const char *text, size_t len, uint8_t key[static CLV_BEARER_KEY_LEN])
{
	uint8_t any = 0;

	if (len != TEXT_LEN || text[TEXT_LEN - 1] != '\n' ||
	    clv_hex_decode(text, clv_hex_value_lower, key, CLV_BEARER_KEY_LEN))
		return CLV_ESYNTAX;
	for (size_t i = 0; i < CLV_BEARER_KEY_LEN; i++)
		any |= key[i];
	return any ? 0 : CLV_ESYNTAX; /* random bytes are never all zero */
}

static int read_key(const char *path, uint8_t key[static CLV_BEARER_KEY_LEN])
{
	struct stat st;
	char *text;
	size_t len;
	int err = clv_atomic_file_read(path, TEXT_LEN, &text, &len, &st);

	if (err)
		return err == -EFBIG ? CLV_ESYNTAX : err;
	err = st.st_mode & FORBIDDEN_MODE ? -EPERM : decode(text, len, key);
	explicit_bzero(text, len);
	free(text);
	return err;
}

static int make_key(const char *path)
{
	uint8_t key[CLV_BEARER_KEY_LEN];
	char text[TEXT_LEN + 1];
	struct clv_rand rand;
	int err;

	clv_rand_init(&rand, 0);
	clv_rand_bytes(&rand, key, sizeof(key));
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(text + 2 * i, 3, "%02x", key[i]);
	text[TEXT_LEN - 1] = '\n';
	err = clv_atomic_file_create(path, text, TEXT_LEN, KEY_MODE);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(text, sizeof(text));
	explicit_bzero(&rand, sizeof(rand));
	return err;
}

static const char *reason(int err)
{
	if (err == CLV_ESYNTAX)
		return "damaged; remove it to make a new key, which invalidates every token";
	if (err == -EPERM)
		return "accessible to other users; chmod 600 it, or remove it if it may have leaked";
	return clv_strerror(err);
}

int clv_bearer_key_load(const char *path, uint8_t key[static CLV_BEARER_KEY_LEN], char *error,
			size_t error_len)
{
	uint8_t read[CLV_BEARER_KEY_LEN];
	int err = read_key(path, read);

	if (err == -ENOENT) {
		err = make_key(path);
		/* If another process was faster, its key counts. */
		if (!err || err == -EEXIST)
			err = read_key(path, read);
	}
	if (err)
		snprintf(error, error_len, "%s: %s", path, reason(err));
	else
		memcpy(key, read, sizeof(read));
	explicit_bzero(read, sizeof(read));
	return err;
}
