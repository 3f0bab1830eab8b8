/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/pem.h"

#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	word32 oid_sum;
	const char *name;
} key_algorithms[] = {
	{ ML_DSA_65k, "ML-DSA-65" },
	{ ML_DSA_44k, "ML-DSA-44" },
	{ ML_DSA_87k, "ML-DSA-87" },
	{ ECDSAk, "ECDSA" },
	{ RSAk, "RSA" },
	{ RSAPSSk, "RSA-PSS" },
	{ ED25519k, "Ed25519" },
};

static const struct {
	word32 oid_sum;
	const char *name;
} signature_algorithms[] = {
	{ CTC_ML_DSA_65, "ML-DSA-65" }, { CTC_ML_DSA_44, "ML-DSA-44" },
	{ CTC_ML_DSA_87, "ML-DSA-87" }, { CTC_SHA256wECDSA, "ECDSA" },
	{ CTC_SHA384wECDSA, "ECDSA" },	{ CTC_SHA512wECDSA, "ECDSA" },
	{ CTC_SHA256wRSA, "RSA" },	{ CTC_SHA384wRSA, "RSA" },
	{ CTC_SHA512wRSA, "RSA" },	{ CTC_RSASSAPSS, "RSA-PSS" },
	{ CTC_ED25519, "Ed25519" },
};

static const char *key_name(word32 oid_sum)
{
	for (size_t i = 0; i < sizeof(key_algorithms) / sizeof(key_algorithms[0]); i++)
		if (key_algorithms[i].oid_sum == oid_sum)
			return key_algorithms[i].name;
	return "unknown";
}

static const char *signature_name(word32 oid_sum)
{
	for (size_t i = 0; i < sizeof(signature_algorithms) / sizeof(signature_algorithms[0]); i++)
		if (signature_algorithms[i].oid_sum == oid_sum)
			return signature_algorithms[i].name;
	return "unknown";
}

/* Fill text from fd.  Returns 0, -EFBIG or -errno. */
static int read_all(int fd, char *text, size_t room, size_t *len)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = read(fd, text + have, room - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
		if (have == room)
			return -EFBIG;
	}
	*len = have;
	return 0;
}

int clv_pem_read(const char *path, char **text, size_t *len)
{
	size_t have = 0;
	char *buf;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	buf = malloc(CLV_PEM_FILE_MAX + 1);
	err = buf ? read_all(fd, buf, CLV_PEM_FILE_MAX, &have) : -ENOMEM;
	close(fd);
	if (err) {
		free(buf);
		return err;
	}
	buf[have] = '\0';
	*text = buf;
	*len = have;
	return 0;
}

/* Append a copy of one certificate.  Returns 0 or -ENOMEM. */
static int add_cert(struct clv_pem_file *file, const uint8_t *data, size_t len)
{
	struct clv_der *certs;
	uint8_t *copy;

	certs = realloc(file->certs, (file->certs_len + 1) * sizeof(*certs));
	if (!certs)
		return -ENOMEM;
	file->certs = certs;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	certs[file->certs_len++] = (struct clv_der){ .data = copy, .len = len };
	return 0;
}

/* Whether a failure of clv_cert_read is the certificate's, not ours. */
static bool is_unknown(int err)
{
	return err == -ENOTSUP || err == CLV_ESYNTAX;
}

/* skip_unknown: leave out certificates that cannot be read. */
static int decode_certs(struct clv_pem_file *file, bool skip_unknown)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	const char *p = file->text;

	while ((p = strstr(p, begin))) {
		EncryptedInfo info = { 0 };
		DerBuffer *der = NULL;
		struct clv_cert_facts facts;
		struct clv_der view;
		int err;

		if (file->certs_len == CLV_PEM_CERTS_MAX)
			return -E2BIG;
		if (wc_PemToDer((const unsigned char *)p, (long)strlen(p), CERT_TYPE, &der, NULL,
				&info, NULL) != 0 ||
		    info.consumed <= 0) {
			wc_FreeDer(&der);
			return CLV_ESYNTAX;
		}
		view = (struct clv_der){ .data = der->buffer, .len = der->length };
		err = clv_cert_read(&view, &facts);
		if (!err) {
			err = add_cert(file, der->buffer, der->length);
		} else if (skip_unknown && is_unknown(err)) {
			file->unknown_len++;
			err = 0;
		}
		wc_FreeDer(&der);
		if (err)
			return err;
		p += info.consumed;
	}
	return file->certs_len || file->unknown_len ? 0 : -ENODATA;
}

const char *clv_pem_error(int err)
{
	switch (err) {
	case -ENODATA:
		return "no certificate in PEM form";
	case -E2BIG:
		return "too many certificates";
	case CLV_ESYNTAX:
		return "a certificate in it is damaged";
	default:
		return clv_strerror(err);
	}
}

static int load(const char *path, bool skip_unknown, struct clv_pem_file *out)
{
	struct clv_pem_file file = { 0 };
	int err;

	err = clv_pem_read(path, &file.text, &file.text_len);
	if (!err)
		err = decode_certs(&file, skip_unknown);
	if (err) {
		clv_pem_free(&file);
		return err;
	}
	*out = file;
	return 0;
}

int clv_pem_load(const char *path, struct clv_pem_file *out)
{
	return load(path, false, out);
}

int clv_pem_load_known(const char *path, struct clv_pem_file *out)
{
	return load(path, true, out);
}

int clv_pem_parse(const char *text, struct clv_pem_file *out)
{
	struct clv_pem_file file = { .text = strdup(text), .text_len = strlen(text) };
	int err;

	if (!file.text)
		return -ENOMEM;
	err = decode_certs(&file, false);
	if (err) {
		clv_pem_free(&file);
		return err;
	}
	*out = file;
	return 0;
}

void clv_pem_free(struct clv_pem_file *file)
{
	for (size_t i = 0; i < file->certs_len; i++)
		free(file->certs[i].data);
	free(file->certs);
	free(file->text);
	*file = (struct clv_pem_file){ 0 };
}

static bool is_unknown_algorithm(int error)
{
	return error == ASN_UNKNOWN_OID_E || error == ASN_SIG_OID_E || error == ALGO_ID_E ||
	       error == ECC_CURVE_OID_E || error == NOT_COMPILED_IN;
}

/* Parse without verifying.  Free with free_decoded.  On failure returns NULL and sets *err. */
static struct DecodedCert *decode(const struct clv_der *cert, int *err)
{
	struct DecodedCert *dc = malloc(sizeof(*dc));
	int res;

	if (!dc) {
		*err = -ENOMEM;
		return NULL;
	}
	wc_InitDecodedCert(dc, cert->data, (word32)cert->len, NULL);
	res = wc_ParseCert(dc, CERT_TYPE, NO_VERIFY, NULL);
	if (res == 0)
		return dc;
	wc_FreeDecodedCert(dc);
	free(dc);
	*err = res == MEMORY_E ? -ENOMEM : is_unknown_algorithm(res) ? -ENOTSUP : CLV_ESYNTAX;
	return NULL;
}

static void free_decoded(struct DecodedCert *dc)
{
	wc_FreeDecodedCert(dc);
	free(dc);
}

/* Convert an ASN.1 time from the decoder to seconds since the epoch.  Returns 0 or CLV_ESYNTAX. */
static int read_date(const byte *date, int len, time_t *out)
{
	const byte *text;
	byte format;
	int text_len;
	struct tm tm = { 0 };

	if (wc_GetDateInfo(date, len, &text, &format, &text_len) != 0 ||
	    wc_GetDateAsCalendarTime(text, text_len, format, &tm) != 0)
		return CLV_ESYNTAX;
	*out = timegm(&tm);
	return 0;
}

/* Names in certificates come from strangers, and go into messages. */
static char printable(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '?';
}

/* Copy the common name of an issuer out of "/C=../O=../CN=..". */
static void put_issuer(const char *issuer, char out[static CLV_CERT_ISSUER_MAX])
{
	const char *p = strstr(issuer, "/CN=");
	size_t len = 0;

	p = p ? p + 4 : issuer;
	for (; *p && *p != '/' && len < CLV_CERT_ISSUER_MAX - 1; p++)
		out[len++] = printable(*p);
	out[len] = 0;
}

/* Whether it may sign others: RFC 5280 section 6.1.4 (k) and (n). */
static bool may_sign(const struct DecodedCert *dc)
{
	return dc->isCA && (!dc->extKeyUsageSet || (dc->extKeyUsage & KEYUSE_KEY_CERT_SIGN));
}

int clv_cert_read(const struct clv_der *cert, struct clv_cert_facts *out)
{
	struct clv_cert_facts facts;
	struct DecodedCert *dc;
	int err = 0;

	dc = decode(cert, &err);
	if (!dc)
		return err;
	facts = (struct clv_cert_facts){
		.key_algorithm = key_name(dc->keyOID),
		.signature_algorithm = signature_name(dc->signatureOID),
		.path_len = dc->isCA && dc->pathLengthSet ? dc->pathLength : -1,
		.is_ca = may_sign(dc),
		.is_self_signed = dc->selfSigned,
	};
	_Static_assert((size_t)KEYID_SIZE <= CLV_CERT_NAME_HASH_LEN, "a hash of a name fits");
	memcpy(facts.subject, dc->subjectHash, KEYID_SIZE);
	memcpy(facts.issuer, dc->issuerHash, KEYID_SIZE);
	put_issuer(dc->issuer, facts.issuer_text);
	if (read_date(dc->beforeDate, dc->beforeDateLen, &facts.not_before) ||
	    read_date(dc->afterDate, dc->afterDateLen, &facts.not_after))
		err = CLV_ESYNTAX;
	free_decoded(dc);
	if (!err)
		*out = facts;
	return err;
}

const char *clv_cert_algorithms(void)
{
	return "ML-DSA-65, ECDSA"
#ifndef NO_RSA
	       ", RSA"
#endif
#ifdef HAVE_ED25519
	       ", Ed25519"
#endif
		;
}

bool clv_cert_is_signed_well(const struct clv_cert_facts *facts)
{
	return strcmp(facts->signature_algorithm, "unknown") != 0;
}

bool clv_cert_is_pqc(const struct clv_cert_facts *facts)
{
	return strcmp(facts->key_algorithm, "ML-DSA-65") == 0 &&
	       strcmp(facts->signature_algorithm, "ML-DSA-65") == 0;
}

static bool entry_is(const DNS_entry *entry, const char *name)
{
	uint8_t ip[16];
	int ip_len = 0;

	if (inet_pton(AF_INET, name, ip) == 1)
		ip_len = 4;
	else if (inet_pton(AF_INET6, name, ip) == 1)
		ip_len = 16;
	if (ip_len)
		return entry->type == ASN_IP_TYPE && entry->len == ip_len &&
		       memcmp(entry->name, ip, (size_t)ip_len) == 0;
	return entry->type == ASN_DNS_TYPE && (size_t)entry->len == strlen(name) &&
	       strncasecmp(entry->name, name, (size_t)entry->len) == 0;
}

static bool has_entry(const struct DecodedCert *dc, const char *name)
{
	for (const DNS_entry *e = dc->altNames; e; e = e->next)
		if (entry_is(e, name))
			return true;
	return false;
}

static bool is_wanted(const DNS_entry *entry, const char *const *names, size_t names_len)
{
	for (size_t i = 0; i < names_len; i++)
		if (entry_is(entry, names[i]))
			return true;
	return false;
}

int clv_cert_has_names(const struct clv_der *cert, const char *const *names, size_t names_len)
{
	struct DecodedCert *dc;
	int err = 0, same = 1;

	dc = decode(cert, &err);
	if (!dc)
		return err;
	for (size_t i = 0; i < names_len && same; i++)
		same = has_entry(dc, names[i]);
	for (const DNS_entry *e = dc->altNames; e && same; e = e->next)
		same = is_wanted(e, names, names_len);
	free_decoded(dc);
	return same;
}

/* Whether a DNS name of a certificate stands for name. */
static bool dns_is_for(const char *pattern, size_t len, const char *name)
{
	const char *rest = strchr(name, '.');

	if (len > 2 && pattern[0] == '*' && pattern[1] == '.' && rest && rest != name) {
		/* At least two labels below: "*.com" would be a whole registry. */
		if (!memchr(pattern + 2, '.', len - 2))
			return false;
		pattern++;
		len--;
		name = rest;
	}
	return strlen(name) == len && strncasecmp(pattern, name, len) == 0;
}

bool clv_cert_is_for(const struct clv_der *cert, const char *name)
{
	struct DecodedCert *dc;
	uint8_t ip[16];
	bool is_ip, found = false;
	int err = 0;

	dc = decode(cert, &err);
	if (!dc)
		return false;
	is_ip = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
	for (const DNS_entry *e = dc->altNames; e && !found; e = e->next)
		found = is_ip ? entry_is(e, name)
			      : e->type == ASN_DNS_TYPE &&
					dns_is_for(e->name, (size_t)e->len, name);
	free_decoded(dc);
	return found;
}

/* Append one name to a list.  Returns whether there was room. */
static bool put_name(const DNS_entry *e, char *out, size_t *len)
{
	char ip[INET6_ADDRSTRLEN];
	const char *text = e->name;
	size_t text_len = (size_t)e->len;

	if (e->type == ASN_IP_TYPE) {
		if ((e->len != 4 && e->len != 16) ||
		    !inet_ntop(e->len == 4 ? AF_INET : AF_INET6, e->name, ip, sizeof(ip)))
			return true;
		text = ip;
		text_len = strlen(ip);
	} else if (e->type != ASN_DNS_TYPE) {
		return true;
	}
	if (*len + text_len + sizeof(", , ...") > CLV_CERT_NAMES_TEXT_MAX)
		return false;
	if (*len)
		*len += (size_t)sprintf(out + *len, ", ");
	for (size_t i = 0; i < text_len; i++)
		out[(*len)++] = printable(text[i]);
	return true;
}

const char *clv_cert_names_text(const struct clv_der *cert,
				char out[static CLV_CERT_NAMES_TEXT_MAX])
{
	struct DecodedCert *dc;
	size_t len = 0;
	int err = 0;

	dc = decode(cert, &err);
	for (const DNS_entry *e = dc ? dc->altNames : NULL; e; e = e->next) {
		if (!put_name(e, out, &len)) {
			len += (size_t)sprintf(out + len, "%s...", len ? ", " : "");
			break;
		}
	}
	out[len] = 0;
	if (dc)
		free_decoded(dc);
	return len ? out : strcpy(out, "no name");
}

bool clv_cert_is_issuer(const struct clv_der *ca, const struct clv_der *cert)
{
	WOLFSSL_CERT_MANAGER *cm = wolfSSL_CertManagerNew();
	bool is;

	if (!cm)
		return false;
	is = wolfSSL_CertManagerLoadCABuffer(cm, ca->data, (long)ca->len, WOLFSSL_FILETYPE_ASN1) ==
		     WOLFSSL_SUCCESS &&
	     wolfSSL_CertManagerVerifyBuffer(cm, cert->data, (long)cert->len,
					     WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
	wolfSSL_CertManagerFree(cm);
	return is;
}

int clv_cert_pin(const struct clv_der *cert, uint8_t out[static 32])
{
	word32 len = (word32)cert->len; /* the key is a part of the certificate */
	uint8_t *spki = malloc(cert->len);
	int err = spki ? 0 : -ENOMEM;

	if (!err && wc_GetSubjectPubKeyInfoDerFromCert(cert->data, (word32)cert->len, spki, &len))
		err = CLV_ESYNTAX;
	if (!err)
		wc_Sha256Hash(spki, len, out);
	free(spki);
	return err;
}

void clv_cert_sha256(const struct clv_der *cert, uint8_t out[static 32])
{
	/* Cannot fail: software SHA-256 over memory. */
	wc_Sha256Hash(cert->data, (word32)cert->len, out);
}
