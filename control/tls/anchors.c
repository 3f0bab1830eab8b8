/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/anchors.h"

#include "datapath/base/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALGORITHMS_MAX = 96, /* bytes of the list in a message */
};

struct clv_anchors {
	atomic_uint references;
	struct clv_pem_file file;     /* certs: those that are used, first */
	struct clv_cert_facts *facts; /* of each of them */
	size_t len, left_out;
};

/* Whether a profile takes a root.  In pqc, everything up to the root is ML-DSA-65. */
static bool is_taken(enum clv_profile profile, const struct clv_cert_facts *facts)
{
	return facts->is_ca && (profile != CLV_PROFILE_PQC || clv_cert_is_pqc(facts));
}

static void note_algorithm(char list[static ALGORITHMS_MAX], const char *name)
{
	size_t len = strlen(list);

	if (!strstr(list, name) && len + strlen(name) + 3 < ALGORITHMS_MAX)
		sprintf(list + len, "%s%s", len ? ", " : "", name);
}

/* Move the certificates that are used to the front, with their facts. */
static int choose(struct clv_anchors *a, enum clv_profile profile, char algorithms[ALGORITHMS_MAX])
{
	struct clv_pem_file *f = &a->file;

	a->facts = calloc(f->certs_len ? f->certs_len : 1, sizeof(*a->facts));
	if (!a->facts)
		return -ENOMEM;
	for (size_t i = 0; i < f->certs_len; i++) {
		struct clv_cert_facts facts;
		int err = clv_cert_read(&f->certs[i], &facts);

		if (err == -ENOMEM)
			return err;
		if (err || !is_taken(profile, &facts)) {
			if (!err)
				note_algorithm(algorithms,
					       facts.is_ca ? facts.key_algorithm : "not of a CA");
			continue;
		}
		struct clv_der used = f->certs[i];

		f->certs[i] = f->certs[a->len];
		f->certs[a->len] = used;
		a->facts[a->len++] = facts;
	}
	a->left_out = f->certs_len + f->unknown_len - a->len;
	return 0;
}

int clv_anchors_load(enum clv_profile profile, const char *path, struct clv_anchors **out,
		     char *error, size_t error_len)
{
	struct clv_anchors *a = calloc(1, sizeof(*a));
	char algorithms[ALGORITHMS_MAX] = "";
	int err = a ? clv_pem_load_known(path, &a->file) : -ENOMEM;

	if (err == CLV_ESYNTAX || err == -ENODATA || err == -E2BIG) {
		snprintf(error, error_len, "%s: %s", path, clv_pem_error(err));
		err = CLV_ESYNTAX;
	} else if (err) {
		snprintf(error, error_len, "%s: cannot read: %s", path, clv_strerror(err));
	} else {
		err = choose(a, profile, algorithms);
		if (err)
			snprintf(error, error_len, "%s: %s", path, clv_strerror(err));
	}
	if (!err && !a->len) {
		err = CLV_ESYNTAX;
		snprintf(error, error_len,
			 "%s: no root that can be used among %zu certificates (%s); profile %s%s",
			 path, a->left_out, *algorithms ? algorithms : "unknown algorithms",
			 profile == CLV_PROFILE_PQC ? "pqc takes ML-DSA-65 only" : "hybrid takes ",
			 profile == CLV_PROFILE_PQC ? "" : clv_cert_algorithms());
	}
	if (err) {
		clv_anchors_unref(a);
		return err;
	}
	atomic_store(&a->references, 1);
	free(a->file.text);
	a->file.text = NULL;
	*out = a;
	return 0;
}

struct clv_anchors *clv_anchors_ref(struct clv_anchors *anchors)
{
	if (anchors)
		atomic_fetch_add(&anchors->references, 1);
	return anchors;
}

void clv_anchors_unref(struct clv_anchors *anchors)
{
	if (!anchors ||
	    (atomic_load(&anchors->references) && atomic_fetch_sub(&anchors->references, 1) > 1))
		return;
	clv_pem_free(&anchors->file);
	free(anchors->facts);
	free(anchors);
}

size_t clv_anchors_len(const struct clv_anchors *anchors)
{
	return anchors->len;
}

size_t clv_anchors_left_out(const struct clv_anchors *anchors)
{
	return anchors->left_out;
}

const struct clv_der *clv_anchors_next(const struct clv_anchors *anchors,
				       const uint8_t issuer[static CLV_CERT_NAME_HASH_LEN],
				       size_t *at, const struct clv_cert_facts **facts)
{
	while (*at < anchors->len) {
		size_t i = (*at)++;

		if (memcmp(anchors->facts[i].subject, issuer, CLV_CERT_NAME_HASH_LEN) == 0) {
			*facts = &anchors->facts[i];
			return &anchors->file.certs[i];
		}
	}
	return NULL;
}
