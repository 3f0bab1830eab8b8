/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * config - parse the configuration file, by one table of options for parser, validation and manual.
 *
 * The file is for limits, addresses and certificates; without one every option has its default.
 * Errors are returned as one line "FILE:LINE: reason", never printed.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_CONFIG_H
#define CLV_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control/admission/access.h"
#include "control/core/control.h"
#include "control/proxy/proxy.h"
#include "datapath/base/pace.h"

/* The datapath mode that the operator asks for. */
enum clv_config_datapath {
	CLV_CONFIG_DATAPATH_AUTO = 0, /* the best that each interface supports */
	CLV_CONFIG_DATAPATH_ZEROCOPY, /* anything less is a start error */
	CLV_CONFIG_DATAPATH_XDP, /* native XDP, zero-copy or copy; anything less is a start error */
	CLV_CONFIG_DATAPATH_GENERIC, /* generic XDP, on every interface */
	CLV_CONFIG_DATAPATH_SOCK,    /* kernel sockets, no XDP */
};

struct clv_config_list {
	char **items; /* owned */
	size_t len;
};

struct clv_config_listener {
	char *name;	  /* owned; the section's title */
	char *address;	  /* owned; "": every address of both families */
	uint8_t addr[16]; /* the same, read; :: */
	uint16_t port;
	int profile;		    /* enum clv_profile */
	char *cert_file, *key_file; /* owned; "": made on first start */
};

struct clv_config {
	int datapath;	  /* enum clv_config_datapath */
	int log_level;	  /* enum clv_log_level */
	char *proxy_name; /* owned; "": the host's name */
	char *user;	  /* owned; the user to run as after set-up; "": no change */
	bool sandbox;
	struct clv_config_list certificate_names; /* empty: the host's name and public addresses */
	struct clv_config_list interfaces;	  /* empty: all Ethernet interfaces that are up */
	uint16_t workers_max;			  /* 0: as planned */

	struct clv_config_listener listeners[CLV_LISTENERS_MAX];
	size_t listeners_len;

	struct clv_config_list allow, deny, nat64;

	int access_mode; /* enum clv_access_mode */
	struct clv_config_list access_clients;
	char *access_users, *access_host; /* owned */
	uint32_t access_failures_per_sec, access_failures_burst;
	uint32_t access_checks_max;

	uint32_t mark;
	uint16_t egress_port_min, egress_port_max;

	struct clv_bound_settings bind; /* without the addresses in the two lists */
	struct clv_config_list bind_local, bind_public;
	struct clv_signal_settings signal;

	struct clv_control_limits limits;
	struct clv_proxy_limits proxy;
	uint32_t buffers;
	uint32_t early_packets, early_total;
	uint64_t early_ns;
	uint32_t hop_wait_packets;
	uint32_t icmp_per_sec, icmp_source_per_sec, icmp_mtu_min;
	uint32_t dns_pending_max;
	uint32_t dns_cache_max;
	uint64_t dns_timeout_ns;

	struct clv_pace_params pace; /* of the workers */
	uint64_t slice_ns;
	uint32_t ring_packets;
	bool verify_checksum;
	int reflect_xdp; /* enum clv_config_reflect_xdp */
	uint32_t busy_poll_usec;
	uint32_t busy_poll_packets;
	uint32_t socket_bytes;
	uint32_t slow_path_per_sec;

	char *metrics_listen; /* owned; ADDRESS:PORT; "": off */
};

/* Whether the XDP program answers STUN itself. */
enum clv_config_reflect_xdp {
	CLV_CONFIG_REFLECT_AUTO,
	CLV_CONFIG_REFLECT_ALWAYS,
	CLV_CONFIG_REFLECT_NEVER,
};

enum clv_config_type {
	CLV_CONFIG_NUMBER, /* stored times scale in an unsigned member of `bytes` bytes */
	CLV_CONFIG_BOOL,
	CLV_CONFIG_CHOICE, /* stored as its index in an int */
	CLV_CONFIG_TEXT,
	CLV_CONFIG_LIST,
};

/* One key of the file. */
struct clv_config_option {
	const char *section; /* NULL: outside of sections */
	const char *name;
	enum clv_config_type type;
	uint64_t min, max;   /* numbers, in the unit of the file */
	uint64_t scale;	     /* 0: 1 */
	const char *unit;    /* of numbers: "packets"; "" if the name contains it */
	const char *initial; /* default, as written in a file; "{}" for an empty list */
	const char *choices; /* "a|b|c" */
	bool is_reloadable;  /* applied by SIGHUP */
	const char *help;
	size_t offset; /* in struct clv_config, or clv_config_listener for that section */
	size_t bytes;
};

/* A key that was renamed.  The old name is an error that names the new one. */
struct clv_config_rename {
	const char *section; /* NULL: outside of sections */
	const char *old_name, *new_name;
};

const struct clv_config_rename *clv_config_renames(size_t *len);

/* Build the policy of a configuration.  Returns as clv_policy_new. */
int clv_config_policy(const struct clv_config *c, struct clv_policy **out, char *error,
		      size_t error_len);

/* The table; lives as long as the program. */
const struct clv_config_option *clv_config_options(size_t *len);

/*
 * Parse and validate text, the contents of a file.  file: its name, for errors.
 * text: borrows, zero-terminated.
 * Returns 0 and fills *out, which clv_config_fini frees; or CLV_ESYNTAX, CLV_ERANGE (a value out of
 * range) or -ENOMEM with one line in error.
 */
int clv_config_parse(const char *file, const char *text, struct clv_config *out, char *error,
		     size_t error_len);

/*
 * Read a file's text for clv_config_parse; the caller frees it.  must_exist: if false, a missing file
 * gives an empty text.  Returns 0, or -errno or CLV_ERANGE as clv_config_load.
 */
int clv_config_read(const char *file, bool must_exist, char **text, char *error, size_t error_len);

/*
 * Read and parse a file.  must_exist: if false, a missing file gives the defaults.
 * Returns as clv_config_parse, or -errno when it cannot be read, CLV_ERANGE when above 1 MiB.
 */
int clv_config_load(const char *file, bool must_exist, struct clv_config *out, char *error,
		    size_t error_len);

void clv_config_fini(struct clv_config *config);

/* Whether an option has the same value in two configurations. */
bool clv_config_is_same(const struct clv_config_option *option, const struct clv_config *a,
			const struct clv_config *b);

/* Write a file that documents every key with its default.  deploy/culvert.conf is this text. */
void clv_config_print(FILE *out);

const char *clv_config_datapath_name(enum clv_config_datapath datapath);

#endif
