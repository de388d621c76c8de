// SPDX-License-Identifier: GPL-2.0
/* Known flows: what each packet asks of the kernel, in as few calls as there are steps. */
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/skbuff.h>
#include <net/addrconf.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/neighbour.h>
#include <net/route.h>

#include "shim.h"

/* Adds to a counter of this processor, in one instruction. */
#define count(stats, member, n)						\
	this_cpu_add(((struct rlvs_stats __percpu *)(unsigned long)(stats))->member, n)

void rlvs_stats_conn(struct rlvs_stats *stats)
{
	count(stats, conns, 1);
}

void rlvs_stats_in(struct rlvs_stats *stats, u32 bytes)
{
	count(stats, inpkts, 1);
	count(stats, inbytes, bytes);
}

void rlvs_stats_out(struct rlvs_stats *stats, u32 bytes)
{
	count(stats, outpkts, 1);
	count(stats, outbytes, bytes);
}

/*
 * Gives an answer the priority that its type of service asks for, as ip_forward()
 * does; IPv6's forwarding gives none.
 */
void rlvs_skb_prioritise(struct sk_buff *skb, bool v6)
{
	if (!v6 && READ_ONCE(dev_net_rcu(skb->dev)->ipv4.sysctl_ip_fwd_update_priority))
		skb->priority = rt_tos2priority(ip_hdr(skb)->tos);
}

/* dst_check() and dst_mtu() of an IPv4 route, without their indirect calls. */
static u32 mtu4(struct dst_entry *dst)
{
	if (dst->obsolete != DST_OBSOLETE_FORCE_CHK ||
	    dst_rtable(dst)->rt_genid != rt_genid_ipv4(dev_net_rcu(dst->dev)))
		return 0;
	return ip_dst_mtu_maybe_forward(dst, false);
}

static u32 mtu6(struct dst_entry *dst, u32 cookie)
{
	if (!dst_check(dst, cookie))
		return 0;
	return ip6_dst_mtu_maybe_forward(dst, false);
}

/* The route's MTU, or 0 if it has to be looked up again. */
static __always_inline u32 mtu(struct dst_entry *dst, u32 cookie)
{
	if (unlikely(!netif_running(dst->dev)))
		return 0;
	return dst->ops->family == AF_INET ? mtu4(dst) : mtu6(dst, cookie);
}

u32 rlvs_route_check(struct dst_entry *dst, u32 cookie)
{
	return mtu(dst, cookie);
}

/* What a bridge would only pass on is not this host's, even if it has a hook look at it. */
static bool bridged(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	return skb_ext_exist(skb, SKB_EXT_BRIDGE_NF);
#else
	return false;
#endif
}

static bool merged(const struct sk_buff *skb)
{
	return unlikely(skb->data_len) && rlvs_skb_is_merged(skb);
}

/* As ip_forward() and more: what it would not pass on is not taken. */
static bool refused(const struct sk_buff *skb)
{
	return skb->pkt_type != PACKET_HOST || skb->ipvs_property || skb->sk ||
	       bridged(skb) || merged(skb);
}

/* As skb_ensure_writable(), without the call where nothing has to be done. */
static bool writable(struct sk_buff *skb, u32 len)
{
	return likely(!skb_cloned(skb) && len <= skb_headlen(skb)) ||
	       !skb_ensure_writable(skb, len);
}

static bool fits(const struct sk_buff *skb, u32 mtu)
{
	return likely(skb->len <= mtu) || rlvs_skb_fits(skb, mtu);
}

/*
 * The packet gets the mark that those had at their end that went the ordinary way;
 * false: it has another one already.
 */
static bool marked(struct sk_buff *skb, u32 mark)
{
	if (likely(skb->mark == mark))
		return true;
	if (skb->mark)
		return false;
	skb->mark = mark;
	return true;
}

/* As ip6_forward() asks; IPv4's switch makes all routes void by itself. */
bool rlvs_early_forwards6(const struct sk_buff *skb)
{
	const struct inet6_dev *idev;

	if (likely(READ_ONCE(dev_net_rcu(skb->dev)->ipv6.devconf_all->forwarding)))
		return true;
	idev = __in6_dev_get(skb->dev);
	return idev && READ_ONCE(idev->cnf.force_forwarding);
}

/*
 * Whether a packet may be changed and go out by @dst, with @spare bytes more, past
 * routing and the other hooks: the kernel would pass it on, it comes from where
 * those came that went the ordinary way, the way out is up to date and wide
 * enough, and the first @len bytes are the packet's own. Returns the way's MTU,
 * with RLVS_EARLY_PARTIAL if the checksum at their end is left to the device; or
 * why not.
 */
u32 rlvs_early_ready(struct sk_buff *skb, const struct rlvs_origin *origin,
		     struct dst_entry *dst, u32 cookie, u32 spare, u32 len)
{
	u32 room;

	if (unlikely(refused(skb)))
		return RLVS_EARLY_REFUSED;
	if (unlikely(skb->dev->ifindex != origin->iif))
		return RLVS_EARLY_INTERFACE;
	room = mtu(dst, cookie);
	if (unlikely(!room))
		return RLVS_EARLY_PATH;
	if (unlikely(room <= spare || !fits(skb, room - spare)))
		return RLVS_EARLY_SIZE;
	if (unlikely(!writable(skb, len)))
		return RLVS_EARLY_REFUSED;
	if (unlikely(!marked(skb, origin->mark)))
		return RLVS_EARLY_INTERFACE;
	if (skb->ip_summed == CHECKSUM_PARTIAL && rlvs_skb_partial(skb, len))
		return room | RLVS_EARLY_PARTIAL;
	return room;
}

/* Readies a packet for @dst past routing and the hooks; false: dropped. */
static __always_inline bool prepare(struct sk_buff *skb, struct dst_entry *dst)
{
	struct net_device *dev = dst->dev;

	if (unlikely(skb_cow_head(skb, LL_RESERVED_SPACE(dev)))) {
		kfree_skb(skb);
		return false;
	}
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, dst);
	skb->dev = dev;
	skb_clear_tstamp(skb);
	skb_forward_csum(skb);
	return true;
}

static __always_inline void pass_on(struct sk_buff *skb, struct neighbour *neigh,
				    bool skip_cache)
{
	if (likely(!IS_ERR(neigh)))
		neigh_output(neigh, skb, skip_cache);
	else
		kfree_skb(skb);
}

/* Hands the packet to the neighbour that the route and its IP header name. */
static __always_inline void to_neigh4(struct sk_buff *skb, struct dst_entry *dst)
{
	bool v6_gateway = false;
	struct neighbour *neigh;

	if (!prepare(skb, dst))
		return;
	neigh = ip_neigh_for_gw(dst_rtable(dst), skb, &v6_gateway);
	pass_on(skb, neigh, v6_gateway);
}

static __always_inline void to_neigh6(struct sk_buff *skb, struct dst_entry *dst)
{
	const struct in6_addr *nexthop;

	if (!prepare(skb, dst))
		return;
	nexthop = rt6_nexthop(dst_rt6_info(dst), &ipv6_hdr(skb)->daddr);
	pass_on(skb, ip_neigh_gw6(dst->dev, nexthop), false);
}

static __always_inline void to_neigh(struct sk_buff *skb, struct dst_entry *dst)
{
	if (dst->ops->family == AF_INET)
		to_neigh4(skb, dst);
	else
		to_neigh6(skb, dst);
}

void rlvs_xmit_neigh(struct sk_buff *skb, struct dst_entry *dst)
{
	to_neigh(skb, dst);
}

/* Counts a packet of @bytes from the client (@out: to it) and hands it over. */
void rlvs_early_send(struct sk_buff *skb, struct dst_entry *dst,
		     struct rlvs_stats *stats, u32 bytes, bool out)
{
	if (out) {
		rlvs_stats_out(stats, bytes);
		rlvs_skb_prioritise(skb, dst->ops->family == AF_INET6);
	} else {
		rlvs_stats_in(stats, bytes);
	}
	to_neigh(skb, dst);
}
