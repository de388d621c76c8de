/* SPDX-License-Identifier: GPL-2.0 */
/* Whether IPsec's policies have to be asked at all, which each packet wants to know. */
#ifndef RLVS_SHIM_XFRM_H
#define RLVS_SHIM_XFRM_H

#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/xfrm.h>

#ifdef CONFIG_XFRM

/* Whether policies may have a say about packets of the namespace. */
static inline bool policed(const struct net *net)
{
	const struct netns_xfrm *xfrm = &net->xfrm;
	const u8 *otherwise = xfrm->policy_default;

	return (READ_ONCE(xfrm->policy_count[XFRM_POLICY_IN]) |
		READ_ONCE(xfrm->policy_count[XFRM_POLICY_OUT]) |
		READ_ONCE(xfrm->policy_count[XFRM_POLICY_FWD])) ||
	       READ_ONCE(otherwise[XFRM_POLICY_IN]) != XFRM_USERPOLICY_ACCEPT ||
	       READ_ONCE(otherwise[XFRM_POLICY_OUT]) != XFRM_USERPOLICY_ACCEPT ||
	       READ_ONCE(otherwise[XFRM_POLICY_FWD]) != XFRM_USERPOLICY_ACCEPT;
}

/* The socket that sent the packet, if it is of this host: one that came in may bear that which it was meant for. */
static inline const struct sock *sender(const struct sk_buff *skb)
{
	return skb->skb_iif ? NULL : skb_to_full_sk(skb);
}

/* Whether a policy of the namespace or of its sender may have a say about a packet. */
static inline bool skb_policed(const struct net *net, const struct sk_buff *skb)
{
	const struct sock *sk;

	if (unlikely(policed(net)))
		return true;
	sk = sender(skb);
	return sk && rcu_access_pointer(sk->sk_policy[XFRM_POLICY_OUT]);
}

#else

static inline bool policed(const struct net *net)
{
	return false;
}

static inline bool skb_policed(const struct net *net, const struct sk_buff *skb)
{
	return false;
}

#endif
#endif
