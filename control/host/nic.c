/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/nic.h"

#include "control/host/rtnl.h"
#include "datapath/base/err.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TRIES_MAX = 16, /* when the list changes while it is read */
	ROOM_MIN = 32,
};

/* ---- netlink ---- */

/* Send one request on a socket of its own.  Returns as clv_rtnl_request. */
static int ask(int bus, struct nlmsghdr *request, mnl_cb_t fn, void *user)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int err;

	if (!nl)
		return -errno;
	err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0
		      ? -errno
		      : clv_rtnl_request(nl, request, fn, user);
	mnl_socket_close(nl);
	return err;
}

static int read_vlan(const struct nlattr *attr, void *user)
{
	struct clv_nic *nic = user;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_VLAN_ID:
		if (mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
			nic->vlan_id = mnl_attr_get_u16(attr);
		break;
	case IFLA_VLAN_PROTOCOL:
		if (mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
			nic->vlan_protocol = ntohs(mnl_attr_get_u16(attr));
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

struct link_info {
	struct clv_nic *nic;
	const struct nlattr *data;
};

static int read_link_info(const struct nlattr *attr, void *user)
{
	struct link_info *info = user;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
		snprintf(info->nic->kind, sizeof(info->nic->kind), "%s", mnl_attr_get_str(attr));
	else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
		info->data = attr;
	return MNL_CB_OK;
}

struct link_attrs {
	struct clv_nic *nic;
	struct link_info info;
	uint32_t parent;
	bool is_parent_elsewhere; /* in another network namespace */
};

static int read_link_attr(const struct nlattr *attr, void *user)
{
	struct link_attrs *l = user;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		snprintf(l->nic->name, sizeof(l->nic->name), "%.*s",
			 (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(l->nic->mac))
			memcpy(l->nic->mac, mnl_attr_get_payload(attr), sizeof(l->nic->mac));
		break;
	case IFLA_MTU:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			l->nic->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			l->parent = mnl_attr_get_u32(attr);
		break;
	case IFLA_LINK_NETNSID:
		l->is_parent_elsewhere = true;
		break;
	case IFLA_MASTER:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			l->nic->master = (int)mnl_attr_get_u32(attr);
		break;
	case IFLA_PARENT_DEV_NAME:
		l->nic->has_device = true;
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, read_link_info, &l->info);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

int clv_nic_from_message(const struct nlmsghdr *message, struct clv_nic *out)
{
	struct clv_nic nic = { .numa_node = -1 };
	struct link_attrs attrs = { .nic = &nic, .info.nic = &nic };
	const struct ifinfomsg *head;

	if (message->nlmsg_len < mnl_nlmsg_size(sizeof(*head)))
		return CLV_ESYNTAX;
	head = mnl_nlmsg_get_payload(message);
	nic.ifindex = head->ifi_index;
	nic.flags = head->ifi_flags;
	nic.arp_type = head->ifi_type;
	mnl_attr_parse(message, sizeof(*head), read_link_attr, &attrs);
	if (strcmp(nic.kind, "vlan") == 0 && attrs.info.data)
		mnl_attr_parse_nested(attrs.info.data, read_vlan, &nic);
	if (nic.vlan_id && !attrs.is_parent_elsewhere)
		nic.parent = (int)attrs.parent;
	*out = nic;
	return 0;
}

/* ---- receive queues: ethtool netlink, and sysfs, which also lists those added for XDP ---- */

static int read_family(const struct nlmsghdr *message, void *user)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) == 0)
			*(uint16_t *)user = mnl_attr_get_u16(attr);
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *generic_request(char *buffer, uint16_t type, uint8_t command,
					uint8_t version)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *head = mnl_nlmsg_put_extra_header(request, sizeof(*head));

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	head->cmd = command;
	head->version = version;
	return request;
}

static int read_channels(const struct nlmsghdr *message, void *user)
{
	const struct nlattr *attr;
	uint32_t *queues = user;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr))
	{
		if ((mnl_attr_get_type(attr) == ETHTOOL_A_CHANNELS_RX_COUNT ||
		     mnl_attr_get_type(attr) == ETHTOOL_A_CHANNELS_COMBINED_COUNT) &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			*queues += mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

/* Whether there was nothing to ask with: the answer is not known then. */
static bool is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* Sets *queues, to 0 where the driver does not say.  Returns 0, or -errno of a shortage. */
static int read_queues(int ifindex, uint32_t *queues)
{
	char buffer[512];
	struct nlmsghdr *request;
	struct nlattr *nest;
	uint16_t family = 0;
	int err;

	*queues = 0;

	request = generic_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME);
	err = ask(NETLINK_GENERIC, request, read_family, &family);
	if (err || !family)
		return is_shortage(err) ? err : 0;

	request = generic_request(buffer, family, ETHTOOL_MSG_CHANNELS_GET, ETHTOOL_GENL_VERSION);
	nest = mnl_attr_nest_start(request, ETHTOOL_A_CHANNELS_HEADER);
	mnl_attr_put_u32(request, ETHTOOL_A_HEADER_DEV_INDEX, (uint32_t)ifindex);
	mnl_attr_nest_end(request, nest);
	err = ask(NETLINK_GENERIC, request, read_channels, queues);
	if (err)
		*queues = 0;
	return is_shortage(err) ? err : 0;
}

/* Read a number from /sys/class/net/NAME/FILE.  Returns fallback if there is none. */
static long sysfs_number(const char *name, const char *file, long fallback)
{
	char path[128];
	long value;
	FILE *in;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, file);
	in = fopen(path, "re");
	if (!in)
		return fallback;
	if (fscanf(in, "%ld", &value) != 1)
		value = fallback;
	fclose(in);
	return value;
}

/* A mounted /sys may show another network namespace, with other interfaces of the same names. */
static bool sysfs_is_ours(int ifindex, const char *name)
{
	return sysfs_number(name, "ifindex", 0) == ifindex;
}

static uint32_t sysfs_queues(const char *name)
{
	const struct dirent *entry;
	uint32_t queues = 0;
	char path[128];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues", name);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		queues += strncmp(entry->d_name, "rx-", 3) == 0;
	closedir(dir);
	return queues;
}

/* Returns as read_queues. */
static int count_queues(int ifindex, const char *name, uint32_t *queues)
{
	int err = read_queues(ifindex, queues);
	uint32_t others = sysfs_is_ours(ifindex, name) ? sysfs_queues(name) : 0;

	if (*queues < others)
		*queues = others;
	if (!*queues)
		*queues = 1;
	return err;
}

uint32_t clv_nic_rx_queues(int ifindex, const char *name)
{
	uint32_t queues;

	(void)count_queues(ifindex, name, &queues);
	return queues;
}

/* ---- the old ethtool interface ---- */

/* Returns 0 and fills *command's answer, or -errno. */
static int ask_driver(const char *name, void *command)
{
	struct ifreq request = { .ifr_data = command };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	err = ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
	close(fd);
	return err;
}

bool clv_nic_strips_tags(const char *name)
{
	struct ethtool_value flags = { .cmd = ETHTOOL_GFLAGS };

	return !ask_driver(name, &flags) && flags.data & ETH_FLAG_RXVLAN;
}

int clv_nic_look(int ifindex, const char *name, uint32_t *queues, bool *strips_tags)
{
	int err = count_queues(ifindex, name, queues);

	*strips_tags = clv_nic_strips_tags(name);
	return err;
}

static void read_driver(struct clv_nic *nic)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	if (!ask_driver(nic->name, &info))
		snprintf(nic->driver, sizeof(nic->driver), "%s", info.driver);
	nic->strips_tags = clv_nic_strips_tags(nic->name);
}

/* ---- the list ---- */

struct list {
	struct clv_nic *nics;
	size_t used, room;
};

static int add_link(const struct nlmsghdr *message, void *user)
{
	struct list *list = user;

	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	if (list->used == list->room) {
		size_t room = list->room ? 2 * list->room : ROOM_MIN;
		struct clv_nic *nics = realloc(list->nics, room * sizeof(*nics));

		if (!nics) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		list->nics = nics;
		list->room = room;
	}
	if (clv_nic_from_message(message, &list->nics[list->used]) == 0)
		list->used++;
	return MNL_CB_OK;
}

static int by_index(const void *a, const void *b)
{
	const struct clv_nic *x = a, *y = b;

	return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

/* Returns 0, or as clv_rtnl_request. */
static int read_links(struct list *list)
{
	struct nlmsghdr *request;
	struct ifinfomsg *head;
	char buffer[256];

	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->ifi_family = AF_UNSPEC;
	list->used = 0;
	return ask(NETLINK_ROUTE, request, add_link, list);
}

/* What is behind an interface of no kind, where the kernel is older than the attribute. */
static bool has_device_in_sysfs(const struct clv_nic *nic)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", nic->name);
	return access(path, F_OK) == 0 && sysfs_is_ours(nic->ifindex, nic->name);
}

int clv_nic_list(struct clv_nic **out)
{
	struct list list = { 0 };
	int err, tries = 0;
	size_t i;

	do
		err = read_links(&list);
	while (err == -EINTR && ++tries < TRIES_MAX);
	if (err) {
		free(list.nics);
		return err;
	}
	qsort(list.nics, list.used, sizeof(*list.nics), by_index);
	for (i = 0; i < list.used; i++) {
		struct clv_nic *nic = &list.nics[i];

		if (!nic->has_device && !*nic->kind && !(nic->flags & IFF_LOOPBACK))
			nic->has_device = has_device_in_sysfs(nic);
	}
	*out = list.nics;
	return (int)list.used;
}

void clv_nic_complete(struct clv_nic *nic)
{
	nic->rx_queues = clv_nic_rx_queues(nic->ifindex, nic->name);
	if (sysfs_is_ours(nic->ifindex, nic->name))
		nic->numa_node = (int)sysfs_number(nic->name, "device/numa_node", -1);
	read_driver(nic);
}
