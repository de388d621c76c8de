// SPDX-License-Identifier: GPL-2.0
/* IPsec's policies: what they say about a packet. */
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/xfrm.h>

#include "shim.h"
#include "shim_xfrm.h"

/* Whether the host takes in the packet as it came, encrypted or not. */
bool rlvs_policy_in(struct sk_buff *skb, bool v6)
{
	/* Nearly always; the whole question takes longer. */
	if (likely(!policed(dev_net(skb->dev)) && !secpath_exists(skb)))
		return true;
	return v6 ? xfrm6_policy_check(NULL, XFRM_POLICY_IN, skb) :
		    xfrm4_policy_check(NULL, XFRM_POLICY_IN, skb);
}

bool rlvs_policed(const struct net *net)
{
	return policed(net);
}

bool rlvs_skb_policed(struct net *net, const struct sk_buff *skb)
{
	return skb_policed(net, skb);
}

#ifdef CONFIG_XFRM

/*
 * The packet, which has its last addresses and a route, gets another route if
 * a policy wants it transformed. False: a policy forbids it; drop the packet.
 */
bool rlvs_policy_out(struct net *net, struct sk_buff *skb)
{
	struct dst_entry *dst = skb_dst(skb);
	unsigned int room;
	struct flowi fl;

	if (likely(!skb_policed(net, skb)))
		return true;
	if (xfrm_decode_session(net, skb, &fl, dst->ops->family) < 0)
		return false;
	if (!dst_hold_safe(dst))
		return false;
	skb_dst_drop(skb);
	/* Takes over our reference, whatever it says. */
	dst = xfrm_lookup(net, dst, &fl, sender(skb), 0);
	if (IS_ERR(dst))
		return false;
	skb_dst_set(skb, dst);
	room = dst->dev->hard_header_len;
	return skb_headroom(skb) >= room ||
	       !pskb_expand_head(skb, HH_DATA_ALIGN(room - skb_headroom(skb)),
				 0, GFP_ATOMIC);
}

/* The flow of a packet that will leave by @dst between other @ends. */
static int session(struct net *net, struct sk_buff *skb, struct dst_entry *dst,
		   const struct rlvs_ends *ends, struct flowi *fl)
{
	int err = xfrm_decode_session(net, skb, fl, dst->ops->family);

	fl->flowi_oif = dst->dev->ifindex;
	if (err || !ends->proto)
		return err;
	fl->flowi_proto = ends->proto;
	if (dst->ops->family == AF_INET6) {
		fl->u.ip6.saddr = ends->from;
		fl->u.ip6.daddr = ends->to;
		fl->u.ip6.fl6_sport = ends->sport;
		fl->u.ip6.fl6_dport = ends->dport;
	} else {
		fl->u.ip4.saddr = ends->from.s6_addr32[3];
		fl->u.ip4.daddr = ends->to.s6_addr32[3];
		fl->u.ip4.fl4_sport = ends->sport;
		fl->u.ip4.fl4_dport = ends->dport;
	}
	return 0;
}

/*
 * The MTU that the policies leave a packet that has still to be rewritten for
 * @dst; that of @dst where they forbid it, which comes to light later.
 */
u32 rlvs_policy_mtu(struct net *net, struct sk_buff *skb,
		    struct dst_entry *dst, const struct rlvs_ends *ends)
{
	u32 mtu = dst_mtu(dst);
	struct flowi fl;

	if (session(net, skb, dst, ends, &fl) < 0 || !dst_hold_safe(dst))
		return mtu;
	dst = xfrm_lookup(net, dst, &fl, sender(skb), 0);
	if (IS_ERR(dst))
		return mtu;
	mtu = dst_mtu(dst);
	dst_release(dst);
	return mtu;
}

#else

bool rlvs_policy_out(struct net *net, struct sk_buff *skb)
{
	return true;
}

u32 rlvs_policy_mtu(struct net *net, struct sk_buff *skb,
		    struct dst_entry *dst, const struct rlvs_ends *ends)
{
	return dst_mtu(dst);
}

#endif
