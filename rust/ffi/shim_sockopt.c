// SPDX-License-Identifier: GPL-2.0
/* IPVS's socket options. */
#include <linux/capability.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/sockptr.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "shim_sockopt.h"

static rlvs_sockopt_set option_set;
static rlvs_sockopt_get option_get;

/* As in IPVS who rules the namespace may, also if he does not rule the machine. */
static bool may(const struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_ADMIN);
}

static int set(struct sock *sk, int option, sockptr_t from, unsigned int len)
{
	struct net *net = sock_net(sk);
	u8 request[RLVS_SOCKOPT_MOST];

	if (!may(net))
		return -EPERM;
	if (len > sizeof(request))
		return -EINVAL;
	if (copy_from_sockptr(request, from, len))
		return -EFAULT;
	return option_set(net, option - RLVS_SOCKOPT_FIRST, request, len);
}

static int get(struct sock *sk, int option, void __user *user, int *len)
{
	struct net *net = sock_net(sk);
	u8 request[RLVS_SOCKOPT_MOST];
	size_t read;
	int got;

	if (!may(net))
		return -EPERM;
	if (*len < 0)
		return -EINVAL;
	read = min_t(size_t, *len, sizeof(request));
	if (copy_from_user(request, user, read))
		return -EFAULT;
	got = option_get(net, option - RLVS_SOCKOPT_FIRST, request, read,
			 (__force void *)user, *len);
	if (got < 0)
		return got;
	*len = got;
	return 0;
}

int rlvs_user_write(void *to, const void *bytes, size_t len)
{
	return copy_to_user((__force void __user *)to, bytes, len) ? -EFAULT :
								     0;
}

static struct nf_sockopt_ops options = {
	.pf = PF_INET,
	.set_optmin = RLVS_SOCKOPT_FIRST,
	.set_optmax = RLVS_SOCKOPT_FIRST + RLVS_SOCKOPT_SETS,
	.set = set,
	.get_optmin = RLVS_SOCKOPT_FIRST,
	.get_optmax = RLVS_SOCKOPT_FIRST + RLVS_SOCKOPT_GETS,
	.get = get,
	.owner = THIS_MODULE,
};

int rlvs_sockopt_register(rlvs_sockopt_set set, rlvs_sockopt_get get)
{
	option_set = set;
	option_get = get;
	return nf_register_sockopt(&options);
}

void rlvs_sockopt_unregister(void)
{
	nf_unregister_sockopt(&options);
}
