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

#include "shim.h"

/*
 * With @want_saddr, *@saddr receives the source address that the host would
 * use; otherwise *@saddr takes part in the lookup.
 */
struct dst_entry *rlvs_route4(struct net *net, __be32 daddr, __be32 *saddr,
			      u32 mark, u8 tos, bool known_nh, bool want_saddr)
{
	struct flowi4 fl4 = {
		.daddr = daddr,
		.saddr = want_saddr ? 0 : *saddr,
		.flowi4_mark = mark,
		.flowi4_dscp = inet_dsfield_to_dscp(tos),
		.flowi4_flags = FLOWI_FLAG_ANYSRC |
				(known_nh ? FLOWI_FLAG_KNOWN_NH : 0),
	};
	struct rtable *rt = ip_route_output_key(net, &fl4);

	if (IS_ERR(rt))
		return NULL;
	if (want_saddr)
		*saddr = fl4.saddr;
	return &rt->dst;
}

struct dst_entry *rlvs_route6(struct net *net, const struct in6_addr *daddr,
			      struct in6_addr *saddr, u32 mark, bool known_nh,
			      bool want_saddr)
{
	struct flowi6 fl6 = {
		.daddr = *daddr,
		.flowi6_mark = mark,
		.flowi6_flags = FLOWI_FLAG_ANYSRC |
				(known_nh ? FLOWI_FLAG_KNOWN_NH : 0),
	};
	struct dst_entry *dst;

	if (!want_saddr)
		fl6.saddr = *saddr;
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error)
		goto fail;
	if (want_saddr) {
		if (ipv6_addr_any(&fl6.saddr) &&
		    ipv6_dev_get_saddr(net, ip6_dst_idev(dst)->dev, daddr, 0,
				       &fl6.saddr) < 0)
			goto fail;
		*saddr = fl6.saddr;
	}
	return dst;
fail:
	dst_release(dst);
	return NULL;
}

void rlvs_route_put(struct dst_entry *dst)
{
	dst_release(dst);
}

u32 rlvs_route_cookie(const struct dst_entry *dst, bool v6)
{
	return v6 ? rt6_get_cookie(dst_rt6_info(dst)) : 0;
}

static bool direct(const struct dst_entry *dst, bool v6)
{
	return dst->output == (v6 ? ip6_output : ip_output) && !dst_xfrm(dst) &&
	       !dst->lwtstate;
}

u32 rlvs_route_flags(const struct dst_entry *dst, bool v6)
{
	bool local = v6 ? dst_rt6_info(dst)->rt6i_flags & RTF_LOCAL :
			  dst_rtable(dst)->rt_flags & RTCF_LOCAL;

	return (local ? RLVS_ROUTE_LOCAL : 0) |
	       (direct(dst, v6) ? RLVS_ROUTE_DIRECT : 0) |
	       (dst->dev->flags & IFF_LOOPBACK ? RLVS_ROUTE_LOOPBACK : 0);
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
