/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/forwarding.h"

#include "control/host/rtnl.h"

#include <errno.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <sys/socket.h>

struct switches {
	int32_t ifindex, forwards;
};

static int read_attr(const struct nlattr *attr, void *user)
{
	struct switches *s = user;

	if (mnl_attr_get_payload_len(attr) != sizeof(int32_t))
		return MNL_CB_OK;
	if (mnl_attr_get_type(attr) == NETCONFA_IFINDEX)
		s->ifindex = (int32_t)mnl_attr_get_u32(attr);
	else if (mnl_attr_get_type(attr) == NETCONFA_FORWARDING)
		s->forwards = (int32_t)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

/* One interface, all of them, or the default for those that come. */
static int on_interface(const struct nlmsghdr *message, void *user)
{
	struct switches s = { NETCONFA_IFINDEX_DEFAULT, 0 };
	bool *forwards = user;

	if (message->nlmsg_type != RTM_NEWNETCONF)
		return MNL_CB_OK;
	mnl_attr_parse(message, sizeof(struct netconfmsg), read_attr, &s);
	if (s.ifindex != NETCONFA_IFINDEX_DEFAULT && s.forwards)
		*forwards = true;
	return MNL_CB_OK;
}

static bool forwards_family(struct mnl_socket *nl, uint8_t family)
{
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct netconfmsg *head;
	bool forwards = false;
	int err;

	request->nlmsg_type = RTM_GETNETCONF;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->ncm_family = family;
	err = clv_rtnl_request(nl, request, on_interface, &forwards);
	return forwards || (err && err != -EOPNOTSUPP); /* the kernel does not have the family */
}

bool clv_host_forwards(void)
{
	struct mnl_socket *nl = clv_rtnl_open();
	bool forwards;

	if (!nl)
		return true;
	forwards = forwards_family(nl, AF_INET) || forwards_family(nl, AF_INET6);
	mnl_socket_close(nl);
	return forwards;
}
