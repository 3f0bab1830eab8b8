/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/config.h"

#include "control/tls/tls.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#include <confuse.h>

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * The library accepts the end of the text as the end of every open section.  This line, appended to
 * the text and known at top level only, shows the difference.
 */
#define END_OPTION "end-of-file"
#define END_LINE   "\n" END_OPTION " = true\n"

enum {
	FILE_BYTES_MAX = 1 << 20,
	SECTION_OPTIONS_MAX = 128, /* of one section */
};

static const char listener_section[] = "listener"; /* the only one that may be repeated */
static const char *const sections[] = { listener_section, "access", "policy", "egress",
					"bind",		  "signal", "guard",  "reflect",
					"limits",	  "io",	    "metrics" };
#define SECTIONS_LEN (sizeof(sections) / sizeof(sections[0]))

/*
 * The state of the current parse, since libconfuse's callbacks carry no pointer of ours.  Only the
 * first error is kept; the following ones are its consequences.
 */
static struct parse {
	const char *file;
	char *error;
	size_t error_len;
	int err;
} * current;

static void set_error(int err, int line, const char *fmt, va_list ap)
{
	int n;

	if (!current || current->err)
		return;
	current->err = err;
	if (line > 0)
		n = snprintf(current->error, current->error_len, "%s:%d: ", current->file, line);
	else
		n = snprintf(current->error, current->error_len, "%s: ", current->file);
	if (n >= 0 && (size_t)n < current->error_len)
		vsnprintf(current->error + n, current->error_len - (size_t)n, fmt, ap);
}

__attribute__((format(printf, 3, 4))) static int fail(int err, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(err, line, fmt, ap);
	va_end(ap);
	return err;
}

static bool is_in(const char *option_section, const char *section)
{
	return option_section && section ? strcmp(option_section, section) == 0
					 : option_section == section;
}

/* The section as in our tables: NULL at top level. */
static const char *section_of(const cfg_t *cfg)
{
	return strcmp(cfg->name, "root") == 0 ? NULL : cfg->name;
}

/* The new name of a key that was renamed, or NULL. */
static const char *find_new_name(const char *section, const char *old_name)
{
	const struct clv_config_rename *r;
	size_t i, n;

	r = clv_config_renames(&n);
	for (i = 0; i < n; i++, r++)
		if (is_in(r->section, section) && strcmp(r->old_name, old_name) == 0)
			return r->new_name;
	return NULL;
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char what[256], key[64];
	const char *new_name = NULL;

	vsnprintf(what, sizeof(what), fmt, ap);
	if (cfg && sscanf(what, "no such option '%63[^']'", key) == 1)
		new_name = find_new_name(section_of(cfg), key);
	if (new_name)
		fail(CLV_ESYNTAX, cfg->line, "%s is now called %s", key, new_name);
	else
		fail(CLV_ESYNTAX, cfg ? cfg->line : 0, "%s", what);
}

/* ---- our table as libconfuse's ---- */

static const struct clv_config_option *find_option(const char *section, const char *name)
{
	const struct clv_config_option *o;
	size_t i, n;

	o = clv_config_options(&n);
	for (i = 0; i < n; i++, o++)
		if (is_in(o->section, section) && strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static int choice_of(const struct clv_config_option *o, const char *value)
{
	const char *p = o->choices, *end;
	int i;

	for (i = 0;; i++, p = end + 1) {
		end = strchrnul(p, '|');
		if (strlen(value) == (size_t)(end - p) && strncmp(value, p, (size_t)(end - p)) == 0)
			return i;
		if (!*end)
			return -1;
	}
}

/* Called by the parser right after a value, while the line is known. */
static int validate(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct clv_config_option *o = find_option(section_of(cfg), opt->name);
	const char *text;
	long number;

	if (!o)
		return -1;
	switch (o->type) {
	case CLV_CONFIG_NUMBER:
		number = cfg_opt_getnint(opt, 0);
		if (number >= 0 && (uint64_t)number >= o->min && (uint64_t)number <= o->max)
			return 0;
		fail(CLV_ERANGE, cfg->line, "%s = %ld is outside %llu to %llu", o->name, number,
		     (unsigned long long)o->min, (unsigned long long)o->max);
		return -1;
	case CLV_CONFIG_CHOICE:
		text = cfg_opt_getnstr(opt, 0);
		if (text && choice_of(o, text) >= 0)
			return 0;
		fail(CLV_ESYNTAX, cfg->line, "%s = %s is none of %s", o->name, text ? text : "",
		     o->choices);
		return -1;
	default:
		return 0;
	}
}

static cfg_opt_t to_confuse(const struct clv_config_option *o)
{
	switch (o->type) {
	case CLV_CONFIG_NUMBER:
		return (cfg_opt_t)CFG_INT(o->name, atol(o->initial), CFGF_NONE);
	case CLV_CONFIG_BOOL:
		return (cfg_opt_t)CFG_BOOL(
			o->name, strcmp(o->initial, "true") == 0 ? cfg_true : cfg_false, CFGF_NONE);
	case CLV_CONFIG_LIST:
		return (cfg_opt_t)CFG_STR_LIST(o->name, (char *)o->initial, CFGF_NONE);
	default:
		return (cfg_opt_t)CFG_STR(
			o->name, strcmp(o->initial, "\"\"") == 0 ? "" : o->initial, CFGF_NONE);
	}
}

/* Convert the options of one section (NULL: top level) for libconfuse.  Returns how many. */
static size_t section_options(const char *section, cfg_opt_t out[static SECTION_OPTIONS_MAX])
{
	const struct clv_config_option *o;
	size_t i, n, used = 0;

	o = clv_config_options(&n);
	for (i = 0; i < n && used < SECTION_OPTIONS_MAX - 1; i++, o++)
		if (is_in(o->section, section))
			out[used++] = to_confuse(o);
	out[used] = (cfg_opt_t)CFG_END();
	return used;
}

static void validate_values(cfg_t *cfg)
{
	const struct clv_config_option *o;
	char path[64];
	size_t i, n;

	o = clv_config_options(&n);
	for (i = 0; i < n; i++, o++) {
		snprintf(path, sizeof(path), "%s%s%s", o->section ? o->section : "",
			 o->section ? "|" : "", o->name);
		cfg_set_validate_func(cfg, path, validate);
	}
}

/* Make a parser for all sections.  Returns NULL when out of memory. */
static cfg_t *new_parser(void)
{
	cfg_opt_t nested[SECTIONS_LEN][SECTION_OPTIONS_MAX], top[SECTION_OPTIONS_MAX];
	size_t i, n = section_options(NULL, top);
	cfg_flag_t flags;
	cfg_t *cfg;

	for (i = 0; i < SECTIONS_LEN; i++) {
		section_options(sections[i], nested[i]);
		flags = sections[i] == listener_section
				? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
				: CFGF_NONE;
		top[n++] = (cfg_opt_t)CFG_SEC(sections[i], nested[i], flags);
	}
	top[n++] = (cfg_opt_t)CFG_BOOL(END_OPTION, cfg_false, CFGF_NONE);
	top[n] = (cfg_opt_t)CFG_END();

	cfg = cfg_init(top, CFGF_NONE);
	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, on_error);
	validate_values(cfg);
	return cfg;
}

/* ---- libconfuse's values as ours ---- */

static int copy_list(cfg_t *cfg, const char *name, struct clv_config_list *out)
{
	unsigned i, n = cfg_size(cfg, name);

	if (!n)
		return 0;
	out->items = calloc(n, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		out->items[i] = strdup(cfg_getnstr(cfg, name, i));
		if (!out->items[i])
			return -ENOMEM;
		out->len = i + 1;
	}
	return 0;
}

static void store_number(void *at, size_t bytes, uint64_t value)
{
	const uint32_t v32 = (uint32_t)value;
	const uint16_t v16 = (uint16_t)value;

	if (bytes == sizeof(v16))
		memcpy(at, &v16, bytes);
	else if (bytes == sizeof(v32))
		memcpy(at, &v32, bytes);
	else
		memcpy(at, &value, sizeof(value));
}

static int store(cfg_t *cfg, const struct clv_config_option *o, void *base)
{
	void *at = (char *)base + o->offset;
	char *text;

	switch (o->type) {
	case CLV_CONFIG_NUMBER:
		store_number(at, o->bytes,
			     (uint64_t)cfg_getint(cfg, o->name) * (o->scale ? o->scale : 1));
		return 0;
	case CLV_CONFIG_BOOL:
		*(bool *)at = cfg_getbool(cfg, o->name) == cfg_true;
		return 0;
	case CLV_CONFIG_CHOICE:
		*(int *)at = choice_of(o, cfg_getstr(cfg, o->name));
		return 0;
	case CLV_CONFIG_LIST:
		return copy_list(cfg, o->name, at);
	case CLV_CONFIG_TEXT:
		text = strdup(cfg_getstr(cfg, o->name));
		*(char **)at = text;
		return text ? 0 : -ENOMEM;
	}
	return 0;
}

static int store_section(cfg_t *cfg, const char *section, void *base)
{
	const struct clv_config_option *o;
	size_t i, n;
	int err = 0;

	o = clv_config_options(&n);
	for (i = 0; i < n && !err; i++, o++)
		if (is_in(o->section, section))
			err = store(cfg, o, base);
	return err;
}

/* A file without a listener gets one with the default options. */
static int store_default_listener(struct clv_config *c)
{
	cfg_opt_t opts[SECTION_OPTIONS_MAX];
	cfg_t *cfg;
	int err;

	section_options("listener", opts);
	cfg = cfg_init(opts, CFGF_NONE);
	if (!cfg)
		return -ENOMEM;
	err = store_section(cfg, "listener", &c->listeners[0]);
	cfg_free(cfg);
	c->listeners[0].name = strdup("main");
	c->listeners_len = 1;
	return err ? err : c->listeners[0].name ? 0 : -ENOMEM;
}

static int store_listeners(cfg_t *cfg, struct clv_config *c)
{
	unsigned i, n = cfg_size(cfg, "listener");
	int err;

	if (!n)
		return store_default_listener(c);
	for (i = 0; i < n; i++) {
		cfg_t *section = cfg_getnsec(cfg, "listener", i);
		struct clv_config_listener *l = &c->listeners[i];

		if (i == CLV_LISTENERS_MAX)
			return fail(CLV_ERANGE, section->line, "more than %d listeners",
				    CLV_LISTENERS_MAX);
		c->listeners_len = i + 1;
		l->name = strdup(cfg_title(section));
		err = l->name ? store_section(section, "listener", l) : -ENOMEM;
		if (err)
			return err;
		if (*l->address &&
		    (clv_addr_parse(l->address, l->addr) || clv_addr_is_wildcard(l->addr)))
			return fail(CLV_ESYNTAX, section->line,
				    "listener %s: address = %s is no local address", l->name,
				    l->address);
	}
	return 0;
}

static int store_all(cfg_t *cfg, struct clv_config *c)
{
	size_t i;
	int err;

	err = store_section(cfg, NULL, c);
	for (i = 0; i < SECTIONS_LEN && !err; i++)
		if (sections[i] != listener_section)
			err = store_section(cfg_getsec(cfg, sections[i]), sections[i], c);
	return err ? err : store_listeners(cfg, c);
}

/* ---- what one value alone cannot tell ---- */

/* Whether the kernel would give one packet to either. */
static bool do_listeners_collide(const struct clv_config_listener *a,
				 const struct clv_config_listener *b)
{
	return a->port == b->port &&
	       (!*a->address || !*b->address || memcmp(a->addr, b->addr, sizeof(a->addr)) == 0);
}

static int check_listeners(cfg_t *cfg, const struct clv_config *c)
{
	size_t i, k;

	for (i = 0; i < cfg_size(cfg, "listener"); i++) {
		const struct clv_config_listener *l = &c->listeners[i];
		int line = cfg_getnsec(cfg, "listener", (unsigned)i)->line;

		if (!*l->cert_file != !*l->key_file)
			return fail(CLV_ESYNTAX, line, "listener %s has %s without %s", l->name,
				    *l->cert_file ? "cert" : "key", *l->cert_file ? "key" : "cert");
		if (l->port >= c->egress_port_min && l->port <= c->egress_port_max)
			return fail(CLV_ERANGE, line,
				    "listener %s: port %u lies in the egress range %u to %u",
				    l->name, l->port, c->egress_port_min, c->egress_port_max);
		for (k = 0; k < i; k++)
			if (do_listeners_collide(&c->listeners[k], l))
				return fail(CLV_ESYNTAX, line,
					    "listeners %s and %s have the same port %u%s",
					    c->listeners[k].name, l->name, l->port,
					    *l->address || *c->listeners[k].address
						    ? " on the same address"
						    : "");
	}
	return 0;
}

/* Proxy-Status carries the name as a structured-field string: printable ASCII (RFC 8941 3.3.3). */
static bool is_plain_name(const char *name)
{
	for (; *name; name++)
		if (*name < 0x21 || *name > 0x7e || *name == '"' || *name == '\\')
			return false;
	return true;
}

int clv_config_policy(const struct clv_config *c, struct clv_policy **out, char *error,
		      size_t error_len)
{
	struct clv_policy *policy;
	int err;

	err = clv_policy_new((const char *const *)c->allow.items, c->allow.len,
			     (const char *const *)c->deny.items, c->deny.len, &policy, error,
			     error_len);
	if (err)
		return err;
	for (size_t i = 0; i < c->nat64.len && !err; i++)
		err = clv_policy_add_nat64(policy, c->nat64.items[i], error, error_len);
	if (err)
		clv_policy_free(policy);
	else
		*out = policy;
	return err;
}

static int check_policy(cfg_t *cfg, const struct clv_config *c)
{
	struct clv_policy *policy;
	char why[160] = "";
	int err;

	err = clv_config_policy(c, &policy, why, sizeof(why));
	if (err == -ENOMEM)
		return err;
	if (err)
		return fail(CLV_ESYNTAX, cfg_getsec(cfg, "policy")->line, "policy: %s", why);
	clv_policy_free(policy);
	return 0;
}

static int check_access(cfg_t *cfg, const struct clv_config *c)
{
	int line = cfg_getsec(cfg, "access")->line;
	struct clv_prefix prefix;
	size_t i;

	for (i = 0; i < c->access_clients.len; i++)
		if (clv_policy_parse_prefix(c->access_clients.items[i], &prefix))
			return fail(CLV_ESYNTAX, line, "access: clients: %s: not an address prefix",
				    c->access_clients.items[i]);
	if (*c->access_users != '/')
		return fail(CLV_ESYNTAX, line, "access: users = \"%s\" is no absolute path",
			    c->access_users);
	if (!is_plain_name(c->access_host))
		return fail(CLV_ESYNTAX, line, "access: host = \"%s\" is no DNS name or address",
			    c->access_host);
	return 0;
}

static int check_bind(cfg_t *cfg, const struct clv_config *c)
{
	struct clv_bound_settings s = { 0 };
	const char *bad = "";

	if (clv_bound_settings_set_public(&s, c->bind_public.items, c->bind_public.len, &bad))
		return fail(CLV_ESYNTAX, cfg_getsec(cfg, "bind")->line,
			    "bind: public = \"%s\" is no address, or the second of its family",
			    bad);
	if (clv_bound_settings_set_public(&s, c->bind_local.items, c->bind_local.len, &bad))
		return fail(CLV_ESYNTAX, cfg_getsec(cfg, "bind")->line,
			    "bind: local = \"%s\" is no address, or the second of its family", bad);
	return 0;
}

static int check_all(cfg_t *cfg, const struct clv_config *c)
{
	struct clv_endpoint metrics;
	size_t i;
	int err;

	if (c->egress_port_min > c->egress_port_max)
		return fail(CLV_ERANGE, cfg_getsec(cfg, "egress")->line,
			    "egress: port-min %u is above port-max %u", c->egress_port_min,
			    c->egress_port_max);
	if (c->ring_packets & (c->ring_packets - 1))
		return fail(CLV_ERANGE, cfg_getsec(cfg, "io")->line,
			    "io: ring-packets = %u is not a power of two", c->ring_packets);
	if (!is_plain_name(c->proxy_name))
		return fail(
			CLV_ESYNTAX, 0,
			"proxy-name may have printable ASCII only, no blank, quote or backslash");
	for (i = 0; i < c->interfaces.len; i++)
		if (!*c->interfaces.items[i] || strlen(c->interfaces.items[i]) >= IF_NAMESIZE)
			return fail(CLV_ESYNTAX, 0, "interfaces: \"%s\" is no interface name",
				    c->interfaces.items[i]);
	for (i = 0; i < c->certificate_names.len; i++)
		if (!*c->certificate_names.items[i] ||
		    !is_plain_name(c->certificate_names.items[i]))
			return fail(CLV_ESYNTAX, 0,
				    "certificate-names: \"%s\" is no DNS name or address",
				    c->certificate_names.items[i]);
	if (*c->metrics_listen && clv_endpoint_parse(c->metrics_listen, &metrics))
		return fail(CLV_ESYNTAX, cfg_getsec(cfg, "metrics")->line,
			    "metrics: listen = \"%s\" is not ADDRESS:PORT", c->metrics_listen);
	err = check_listeners(cfg, c);
	err = err ? err : check_access(cfg, c);
	err = err ? err : check_bind(cfg, c);
	return err ? err : check_policy(cfg, c);
}

/* The end of the comment that starts at p, or p if none does. */
static char *comment_end(char *p, bool is_word)
{
	char *end;

	if (*p == '#' || (!is_word && p[0] == '/' && p[1] == '/'))
		return strchrnul(p, '\n');
	if (is_word || p[0] != '/' || p[1] != '*')
		return p;
	end = strstr(p + 2, "*/");
	return end ? end + 2 : p; /* the parser refuses one that is not closed */
}

/*
 * Overwrite comments with blanks, except for newlines: the library counts the lines of a comment
 * more than once, and accepts none inside a list.
 */
static void blank_comments(char *text)
{
	bool is_word = false; /* inside an unquoted word "//" starts no comment */
	char *p = text, *end, quote = 0;

	while (*p) {
		end = quote ? p : comment_end(p, is_word);
		if (end > p) {
			for (; p < end; p++)
				*p = *p == '\n' ? '\n' : ' ';
			is_word = false;
			continue;
		}
		if (quote && *p == '\\' && p[1])
			p++;
		else if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else if (!quote)
			is_word = !strchr(" \t\r\n={}(),+", *p);
		p++;
	}
}

/* Run the parser over text.  Returns 0, or an error number with parse->error filled. */
static int run_parser(cfg_t *cfg, struct parse *parse, const char *text)
{
	size_t len = strlen(text);
	char *whole = malloc(len + sizeof(END_LINE));
	int parsed;

	if (!whole)
		return -ENOMEM;
	memcpy(whole, text, len + 1);
	blank_comments(whole);
	memcpy(whole + len, END_LINE, sizeof(END_LINE));
	parsed = cfg_parse_buf(cfg, whole);
	free(whole);
	if (parsed == CFG_SUCCESS && cfg_getbool(cfg, END_OPTION))
		return 0;
	if (parsed == CFG_SUCCESS || strstr(parse->error, "'" END_OPTION "'")) {
		parse->err = 0;
		return fail(CLV_ESYNTAX, 0, "a section or comment is not closed");
	}
	return parse->err ? parse->err : fail(CLV_ESYNTAX, cfg->line, "cannot be parsed");
}

int clv_config_parse(const char *file, const char *text, struct clv_config *out, char *error,
		     size_t error_len)
{
	struct parse parse = { file, error, error_len, 0 };
	struct clv_config c = { 0 };
	cfg_t *cfg;
	int err;

	current = &parse;
	cfg = new_parser();
	if (!cfg) {
		err = -ENOMEM;
		goto leave;
	}
	err = run_parser(cfg, &parse, text);
	if (!err)
		err = store_all(cfg, &c);
	if (!err)
		err = check_all(cfg, &c);
	cfg_free(cfg);
	if (err)
		clv_config_fini(&c);
	else
		*out = c;
leave:
	if (err == -ENOMEM)
		snprintf(error, error_len, "%s: %s", file, clv_strerror(err));
	current = NULL;
	return err;
}

/* Read a whole file.  Returns 0 and fills *out, which the caller frees, or -errno, CLV_ERANGE. */
static int read_file(const char *file, char **out)
{
	char *text = malloc(FILE_BYTES_MAX + 1);
	FILE *in = text ? fopen(file, "re") : NULL;
	int err = in ? 0 : text ? -errno : -ENOMEM;
	size_t len = 0;

	if (in) {
		len = fread(text, 1, FILE_BYTES_MAX + 1, in);
		if (ferror(in))
			err = errno ? -errno : -EIO;
		else if (len > FILE_BYTES_MAX)
			err = CLV_ERANGE;
		else if (memchr(text, 0, len))
			err = CLV_ESYNTAX;
		fclose(in);
	}
	if (err) {
		free(text);
		return err;
	}
	text[len] = 0;
	*out = text;
	return 0;
}

int clv_config_read(const char *file, bool must_exist, char **text, char *error, size_t error_len)
{
	int err = read_file(file, text);

	if (err == -ENOENT && !must_exist) {
		*text = calloc(1, 1);
		err = *text ? 0 : -ENOMEM;
	}
	if (err)
		snprintf(error, error_len, "%s: %s", file,
			 err == CLV_ERANGE    ? "larger than 1 MiB"
			 : err == CLV_ESYNTAX ? "not a text file"
					      : clv_strerror(err));
	return err;
}

int clv_config_load(const char *file, bool must_exist, struct clv_config *out, char *error,
		    size_t error_len)
{
	char *text;
	int err = clv_config_read(file, must_exist, &text, error, error_len);

	if (err)
		return err;
	err = clv_config_parse(file, text, out, error, error_len);
	free(text);
	return err;
}

static void fini_list(struct clv_config_list *list)
{
	size_t i;

	for (i = 0; i < list->len; i++)
		free(list->items[i]);
	free(list->items);
}

void clv_config_fini(struct clv_config *config)
{
	size_t i;

	for (i = 0; i < config->listeners_len; i++) {
		free(config->listeners[i].name);
		free(config->listeners[i].address);
		free(config->listeners[i].cert_file);
		free(config->listeners[i].key_file);
	}
	fini_list(&config->interfaces);
	fini_list(&config->certificate_names);
	fini_list(&config->bind_local);
	fini_list(&config->bind_public);
	fini_list(&config->access_clients);
	fini_list(&config->allow);
	fini_list(&config->deny);
	fini_list(&config->nat64);
	free(config->access_users);
	free(config->access_host);
	free(config->proxy_name);
	free(config->user);
	free(config->metrics_listen);
	*config = (struct clv_config){ 0 };
}
