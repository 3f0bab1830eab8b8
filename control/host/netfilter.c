/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/netfilter.h"

#include "control/host/rtnl.h"
#include "datapath/base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
	REQUEST_BYTES = 256,
	RESPONSE_MSEC = 500, /* only prevents a hang */
};

/* ---- one chain ---- */

struct reading {
	struct clv_netfilter_chain *chain;
	bool has_hook;
	uint32_t hook;
};

static void copy_name(char name[static CLV_NETFILTER_NAME_MAX], const struct nlattr *attr)
{
	snprintf(name, CLV_NETFILTER_NAME_MAX, "%.*s", (int)mnl_attr_get_payload_len(attr),
		 (const char *)mnl_attr_get_payload(attr));
}

static bool read_u32(const struct nlattr *attr, uint32_t *out)
{
	if (mnl_attr_get_payload_len(attr) != sizeof(*out))
		return false;
	*out = ntohl(mnl_attr_get_u32(attr));
	return true;
}

static int read_hook(const struct nlattr *attr, void *user)
{
	struct reading *r = user;

	if (mnl_attr_get_type(attr) == NFTA_HOOK_HOOKNUM)
		r->has_hook = read_u32(attr, &r->hook);
	return MNL_CB_OK;
}

static int read_attr(const struct nlattr *attr, void *user)
{
	struct reading *r = user;
	uint32_t policy;

	switch (mnl_attr_get_type(attr)) {
	case NFTA_CHAIN_TABLE:
		copy_name(r->chain->table, attr);
		break;
	case NFTA_CHAIN_NAME:
		copy_name(r->chain->name, attr);
		break;
	case NFTA_CHAIN_HOOK:
		mnl_attr_parse_nested(attr, read_hook, r);
		break;
	case NFTA_CHAIN_POLICY:
		r->chain->is_drop = read_u32(attr, &policy) && policy == NF_DROP;
		break;
	case NFTA_CHAIN_USE:
		read_u32(attr, &r->chain->rules);
		break;
	}
	return MNL_CB_OK;
}

/* NULL for families that UDP does not pass, and for forwarding. */
static const char *hook_name(uint8_t family, uint32_t hook, const char **family_name)
{
	static const char *const ip_hooks[] = { "prerouting", "input",	     NULL,
						"output",     "postrouting", "ingress" };
	static const char *const netdev_hooks[] = { "ingress", "egress" };

	switch (family) {
	case NFPROTO_IPV4:
		*family_name = "ip";
		break;
	case NFPROTO_IPV6:
		*family_name = "ip6";
		break;
	case NFPROTO_INET:
		*family_name = "inet";
		break;
	case NFPROTO_NETDEV:
		*family_name = "netdev";
		return hook < 2 ? netdev_hooks[hook] : NULL;
	default:
		return NULL;
	}
	return hook < sizeof(ip_hooks) / sizeof(*ip_hooks) ? ip_hooks[hook] : NULL;
}

int clv_netfilter_read_chain(const struct nlmsghdr *message, struct clv_netfilter_chain *out)
{
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	struct clv_netfilter_chain chain = { .rules = 0 };
	struct reading reading = { .chain = &chain };

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)) ||
	    message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN))
		return CLV_ESYNTAX;
	mnl_attr_parse(message, sizeof(*head), read_attr, &reading);
	if (!reading.has_hook)
		return CLV_ESYNTAX;
	chain.hook = hook_name(head->nfgen_family, reading.hook, &chain.family);
	if (!chain.hook || (!chain.rules && !chain.is_drop))
		return CLV_ESYNTAX;
	*out = chain;
	return 0;
}

/* ---- all of them ---- */

static int on_chain(const struct nlmsghdr *message, void *user)
{
	struct clv_netfilter *found = user;
	struct clv_netfilter_chain chain;

	if (clv_netfilter_read_chain(message, &chain))
		return MNL_CB_OK;
	if (found->len < CLV_NETFILTER_CHAINS_MAX)
		found->chains[found->len++] = chain;
	found->total++;
	return MNL_CB_OK;
}

static int request(struct mnl_socket *nl, struct clv_netfilter *out)
{
	char buffer[REQUEST_BYTES];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head;

	message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	*head = (struct nfgenmsg){ .nfgen_family = NFPROTO_UNSPEC, .version = NFNETLINK_V0 };
	return clv_rtnl_request(nl, message, on_chain, out);
}

void clv_netfilter_read(struct clv_netfilter *out)
{
	const struct timeval timeout = { 0, RESPONSE_MSEC * 1000 };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);

	*out = (struct clv_netfilter){ .err = nl ? 0 : -errno };
	if (!nl)
		return;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	out->err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ? -errno : request(nl, out);
	if (out->err == -EINVAL || out->err == -EOPNOTSUPP || out->err == -EPROTONOSUPPORT)
		out->err = 0; /* the kernel has no nftables */
	mnl_socket_close(nl);
}
