// SPDX-License-Identifier: GPL-2.0
/* The way to an address: lookups and what rlvs wants to know of the result. */
#include <linux/module.h>
#include <linux/netfilter.h>
#include <net/addrconf.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/ip6_fib.h>
#include <net/ip6_route.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/route.h>
#include <net/xfrm.h>

#include "shim.h"
#include "shim_xfrm.h"

/* Whether a port is for privileged servers. */
bool rlvs_port_is_privileged(struct net *net, u16 port)
{
	return inet_port_requires_bind_service(net, port);
}

/*
 * With want_saddr, *@saddr receives the source address that the host would use;
 * otherwise *@saddr takes part in the lookup. Without a route: an error pointer,
 * that of ENOBUFS for want of memory, as far as that can be told.
 */
struct dst_entry *rlvs_route4(struct net *net, __be32 daddr, __be32 *saddr,
			      const struct rlvs_query *query)
{
	struct flowi4 fl4 = {
		.daddr = daddr,
		.saddr = query->want_saddr ? 0 : *saddr,
		.flowi4_oif = query->oif,
		.flowi4_l3mdev = query->l3mdev,
		.flowi4_mark = query->mark,
		.flowi4_dscp = inet_dsfield_to_dscp(query->tos),
		.flowi4_proto = query->proto,
		.fl4_sport = query->sport,
		.fl4_dport = query->dport,
		.flowi4_flags = FLOWI_FLAG_ANYSRC |
				(query->known_nh ? FLOWI_FLAG_KNOWN_NH : 0),
	};
	/* Without a look at IPsec: each packet is shown to the policies itself. */
	struct rtable *rt = __ip_route_output_key(net, &fl4);

	if (IS_ERR(rt))
		return ERR_CAST(rt);
	if (query->want_saddr)
		*saddr = fl4.saddr;
	return &rt->dst;
}

struct dst_entry *rlvs_route6(struct net *net, const struct in6_addr *daddr,
			      struct in6_addr *saddr,
			      const struct rlvs_query *query)
{
	struct flowi6 fl6 = {
		.daddr = *daddr,
		.flowi6_oif = query->oif,
		.flowi6_l3mdev = query->l3mdev,
		.flowi6_mark = query->mark,
		.flowlabel = ip6_make_flowinfo(query->tos, 0),
		.flowi6_proto = query->proto,
		.fl6_sport = query->sport,
		.fl6_dport = query->dport,
		.flowi6_flags = FLOWI_FLAG_ANYSRC |
				(query->known_nh ? FLOWI_FLAG_KNOWN_NH : 0),
	};
	struct dst_entry *dst;

	if (!query->want_saddr)
		fl6.saddr = *saddr;
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error)
		goto fail;
	if (query->want_saddr) {
		if (ipv6_addr_any(&fl6.saddr) &&
		    ipv6_dev_get_saddr(net, ip6_dst_idev(dst)->dev, daddr, 0,
				       &fl6.saddr) < 0)
			goto fail;
		*saddr = fl6.saddr;
	}
	return dst;
fail:
	dst_release(dst);
	return ERR_PTR(-ENETUNREACH);
}

/* Whether routing rules of the operator's may ask for more than the addresses. */
bool rlvs_route_ruled(struct net *net, bool v6)
{
#ifdef CONFIG_IP_MULTIPLE_TABLES
	if (!v6)
		return net->ipv4.fib_has_custom_rules;
#endif
	return v6 && fib6_has_custom_rules(net);
}

bool rlvs_route_hold(struct dst_entry *dst)
{
	return dst_hold_safe(dst);
}

void rlvs_route_put(struct dst_entry *dst)
{
	dst_release(dst);
}

static bool is_v6(const struct dst_entry *dst)
{
	return dst->ops->family == AF_INET6;
}

/* The plain output of its family, no IPsec, no tunnel of the route's own. */
static bool direct(const struct dst_entry *dst)
{
	return dst->output == (is_v6(dst) ? ip6_output : ip_output) &&
	       !dst_xfrm(dst) && !dst->lwtstate;
}

u32 rlvs_route_cookie(const struct dst_entry *dst)
{
	return is_v6(dst) && !dst_xfrm(dst) ?
		       rt6_get_cookie(dst_rt6_info(dst)) : 0;
}

static bool is_local(const struct dst_entry *dst)
{
	if (dst_xfrm(dst))
		return false;
	return is_v6(dst) ? dst_rt6_info(dst)->rt6i_flags & RTF_LOCAL :
			    dst_rtable(dst)->rt_flags & RTCF_LOCAL;
}

/*
 * Whether the route is a learned exception for one address (a path MTU, a redirect),
 * or was made for this lookup. IPv4 gives both the address itself as a gateway, if
 * there is no true one; an exception through a gateway has an end.
 */
static bool single(const struct dst_entry *dst)
{
	const struct rtable *rt;

	if (dst_xfrm(dst))
		return false;
	if (is_v6(dst))
		return dst_rt6_info(dst)->rt6i_flags & RTF_CACHE;
	rt = dst_rtable(dst);
	return READ_ONCE(dst->expires) || (rt->rt_gw_family && !rt->rt_uses_gateway);
}

/* RLVS_ROUTE_*. Where there are policies no packet goes past them. */
u32 rlvs_route_flags(const struct net *net, const struct dst_entry *dst)
{
	bool asked = policed(net);

	return (is_local(dst) ? RLVS_ROUTE_LOCAL : 0) |
	       (single(dst) ? RLVS_ROUTE_SINGLE : 0) |
	       (asked ? RLVS_ROUTE_POLICED : 0) |
	       (direct(dst) && !asked ? RLVS_ROUTE_DIRECT : 0);
}

/* RLVS_ADDR_*: what the address is to this host. */
u32 rlvs_addr_type4(struct net *net, __be32 addr)
{
	switch (inet_addr_type(net, addr)) {
	case RTN_LOCAL:
		return RLVS_ADDR_LOCAL;
	case RTN_UNICAST:
		return RLVS_ADDR_UNICAST;
	default:
		return RLVS_ADDR_OTHER;
	}
}

u32 rlvs_addr_type6(struct net *net, const struct in6_addr *addr)
{
	if (ipv6_addr_is_multicast(addr) || ipv6_addr_any(addr))
		return RLVS_ADDR_OTHER;
	return ipv6_chk_addr(net, addr, NULL, 0) ? RLVS_ADDR_LOCAL :
						    RLVS_ADDR_UNICAST;
}

/*
 * nf_defrag_ipv6 is taken by name, when the first IPv6 service comes, so that
 * rlvs.ko can be inserted by insmod alone.
 */
int rlvs_defrag6_get(struct net *net)
{
	int (*enable)(struct net *net);
	int err;

	enable = symbol_request(nf_defrag_ipv6_enable);
	if (!enable)
		return -ENOENT;
	err = enable(net);
	if (err)
		symbol_put(nf_defrag_ipv6_enable);
	return err;
}

void rlvs_defrag6_put(struct net *net)
{
	void (*disable)(struct net *net);

	disable = symbol_get(nf_defrag_ipv6_disable);
	if (disable) {
		disable(net);
		symbol_put(nf_defrag_ipv6_disable);
	}
	symbol_put(nf_defrag_ipv6_enable);
}
