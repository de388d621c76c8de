// SPDX-License-Identifier: GPL-2.0
/*
 * Connection tracking, as far as FULLNAT shows it its packets: a balanced
 * connection is two for the host, one from the client and one to the real
 * server, like those of a proxy. rlvs needs no symbol of the tracking module.
 */
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_conntrack_l4proto.h>

#include "shim.h"

#if IS_ENABLED(CONFIG_NF_CONNTRACK)

/*
 * Segments that go early are not seen by the tracking, so their numbers say
 * nothing to it: what it has noted of a window would make later ones invalid.
 */
static void be_liberal(struct nf_conn *ct)
{
	if (nf_ct_protonum(ct) != IPPROTO_TCP)
		return;
	spin_lock_bh(&ct->lock);
	nf_ct_set_tcp_be_liberal(ct);
	spin_unlock_bh(&ct->lock);
}

/*
 * The packet has come to its end in the host's eyes: what tracks it is real now.
 * RLVS_CT_NONE: nothing does; RLVS_CT_DROP: the tracking refuses it.
 */
u32 rlvs_ct_arrive(struct sk_buff *skb)
{
	const struct nf_ct_hook *hook = rcu_dereference(nf_ct_hook);
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (!ct || !hook)
		return RLVS_CT_NONE;
	if (!nf_ct_is_confirmed(ct) && hook->confirm(skb) != NF_ACCEPT)
		return RLVS_CT_DROP;
	ct = nf_ct_get(skb, &ctinfo);
	if (ct)
		be_liberal(ct);
	return RLVS_CT_TRACKED;
}

/* Whether the packet begins what is tracked, and its source may still be changed. */
bool rlvs_ct_is_open(const struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	return ct && !nf_ct_is_confirmed(ct) &&
	       !(ct->status & IPS_SRC_NAT_DONE);
}

/* Addresses and ports of such a packet are rlvs's affair: the host's own NAT leaves them alone. */
void rlvs_ct_keep(struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

#if IS_ENABLED(CONFIG_NF_NAT)
	/* Who is done is taken out of a list at its end; this one is in none. */
	INIT_HLIST_NODE(&ct->nat_bysource);
	hlist_add_fake(&ct->nat_bysource);
#endif
	ct->status |= IPS_SRC_NAT_DONE | IPS_DST_NAT_DONE;
}

/* Whether those that follow may go early: with TCP, when the opening is over. */
bool rlvs_ct_settled(struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (!ct)
		return true;
	be_liberal(ct);
	return nf_ct_protonum(ct) != IPPROTO_TCP ||
	       READ_ONCE(ct->proto.tcp.state) == TCP_CONNTRACK_ESTABLISHED;
}

#else

u32 rlvs_ct_arrive(struct sk_buff *skb)
{
	return RLVS_CT_NONE;
}

bool rlvs_ct_is_open(const struct sk_buff *skb)
{
	return false;
}

void rlvs_ct_keep(struct sk_buff *skb)
{
}

bool rlvs_ct_settled(struct sk_buff *skb)
{
	return true;
}

#endif
