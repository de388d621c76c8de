// SPDX-License-Identifier: GPL-2.0
/* Sending a packet on its way. */
#include <linux/icmpv6.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/route.h>

#include "shim.h"
#include "shim_xfrm.h"

/* Whether a hook is of this module. */
static __always_inline bool ours(const struct nf_hook_entry *entry)
{
	const struct module_memory *text = &THIS_MODULE->mem[MOD_TEXT];

	return (unsigned long)entry->hook - (unsigned long)text->base < text->size;
}

/* Whether at a hook there are at most @others besides rlvs. */
static __always_inline bool alone(const struct nf_hook_entries *entries, unsigned int others)
{
	unsigned int i, number = entries ? entries->num_hook_entries : 0;

	if (number <= others)
		return true;
	for (i = 0; number == 1 + others && i < number; i++)
		if (ours(&entries->hooks[i]))
			return true;
	return false;
}

static __always_inline const struct nf_hook_entries *entries_of(const struct net *net, bool v6,
								unsigned int hook)
{
	return rcu_dereference((v6 ? net->nf.hooks_ipv6 : net->nf.hooks_ipv4)[hook]);
}

/*
 * Nobody but rlvs is in LOCAL_OUT, and rlvs has seen the packet. The reassembly of
 * fragments has a hook there too while it is on, which only looks for those.
 */
static __always_inline bool quiet(const struct net *net, bool v6)
{
	bool defrag = false;

#if IS_ENABLED(CONFIG_NF_DEFRAG_IPV4)
	if (!v6)
		defrag = READ_ONCE(net->nf.defrag_ipv4_users);
#endif
#if IS_ENABLED(CONFIG_NF_DEFRAG_IPV6)
	if (v6)
		defrag = READ_ONCE(net->nf.defrag_ipv6_users);
#endif
	return alone(entries_of(net, v6, NF_INET_LOCAL_OUT), defrag);
}

/* Nobody but rlvs is in POST_ROUTING either. */
static __always_inline bool unobserved(const struct net *net, bool v6)
{
	return alone(entries_of(net, v6, NF_INET_POST_ROUTING), 0) && quiet(net, v6);
}

/*
 * Whether the ordinary output would not change a thing: nobody would look at the
 * packet, cut it, wrap it, or ask its socket's group.
 */
bool rlvs_xmit_is_straight(struct net *net, const struct sk_buff *skb,
			   struct dst_entry *dst)
{
	bool v6 = dst->ops->family == AF_INET6;

	return unobserved(net, v6) && !skb->sk &&
	       !(v6 ? IP6CB(skb)->frag_max_size : IPCB(skb)->frag_max_size) &&
	       rlvs_route_flags(net, dst) & RLVS_ROUTE_DIRECT &&
	       rlvs_skb_fits(skb, dst_mtu(dst));
}

/* Gives such a packet to the neighbour at once. */
void rlvs_xmit_straight(struct sk_buff *skb, struct dst_entry *dst)
{
	nf_reset_ct(skb);
	rlvs_xmit_neigh(skb, dst);
}

/* A packet of the host itself has no device yet, and some that take it from here want one. */
static void have_dev(struct sk_buff *skb)
{
	if (!skb->dev && skb_dst(skb))
		skb->dev = skb_dst(skb)->dev;
}

/* What every packet gets before the host's own output takes it; false: dropped. */
static bool out_prepare(struct net *net,
			struct sk_buff *skb, struct dst_entry *dst)
{
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, dst);
	skb->ipvs_property = 1;
	/* What may not be fragmented was turned away before. */
	skb->ignore_df = 1;
	nf_reset_ct(skb);
	skb_forward_csum(skb);
	if (skb->dev)
		skb_clear_tstamp(skb);
	if (unlikely(skb_policed(net, skb)) && !rlvs_policy_out(net, skb)) {
		kfree_skb(skb);
		return false;
	}
	/* IPsec cuts what is large into packets, and asks the device for that; rules would take it for where it came in. */
	if (dst_xfrm(skb_dst(skb)))
		have_dev(skb);
	return true;
}

/* Through LOCAL_OUT and the ordinary output; @tracked: connection tracking sees it. */
void rlvs_xmit_out(struct net *net, struct sk_buff *skb, struct dst_entry *dst,
		   bool tracked)
{
	bool v6 = dst->ops->family == AF_INET6;

	if (!out_prepare(net, skb, dst))
		return;
	if (!tracked)
		nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	if (quiet(net, v6))
		dst_output(net, NULL, skb);
	else
		NF_HOOK(v6 ? NFPROTO_IPV6 : NFPROTO_IPV4, NF_INET_LOCAL_OUT, net,
			NULL, skb, NULL, skb_dst(skb)->dev, dst_output);
}

/* iptunnel_handle_offloads(), without the call for a packet that leaves nothing to the device. */
static int handle_offloads(struct sk_buff *skb, int gso_type)
{
	if (skb_is_gso(skb) || skb->ip_summed == CHECKSUM_PARTIAL)
		return iptunnel_handle_offloads(skb, gso_type);
	skb->ip_summed = CHECKSUM_NONE;
	skb->encapsulation = 0;
	return 0;
}

/* Makes room for @len bytes of an outer header; NULL: no memory. */
u8 *rlvs_encap(struct sk_buff *skb, struct dst_entry *dst, unsigned int len,
	       bool outer_v6, bool inner_v6)
{
	unsigned int room = LL_RESERVED_SPACE(dst->dev) + dst->header_len + len;
	int iif = inner_v6 ? IP6CB(skb)->iif : IPCB(skb)->iif;
	u8 *head;

	if (skb_cow_head(skb, room))
		return NULL;
	if (handle_offloads(skb, outer_v6 ? SKB_GSO_IPXIP6 : SKB_GSO_IPXIP4))
		return NULL;
	skb->transport_header = skb->network_header;
	skb_set_inner_ipproto(skb, inner_v6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	head = skb_push(skb, len);
	skb_reset_network_header(skb);
	skb->protocol = outer_v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	/* Where it came in is still asked for behind POST_ROUTING. */
	if (outer_v6)
		*IP6CB(skb) = (struct inet6_skb_parm) {
			.iif = iif, .nhoff = offsetof(struct ipv6hdr, nexthdr),
		};
	else
		*IPCB(skb) = (struct inet_skb_parm) { .iif = iif };
	return head;
}

/* Gives the outer IPv4 header, complete with identification 0, another one if it needs one. */
void rlvs_seal4(struct net *net, struct sk_buff *skb)
{
	struct iphdr *ip = ip_hdr(skb);

	ip_select_ident_segs(net, skb, NULL,
			     max_t(int, skb_shinfo(skb)->gso_segs, 1));
	if (ip->id)
		csum_replace2(&ip->check, 0, ip->id);
}

/* The outer header is complete. */
void rlvs_xmit_tunnel(struct net *net, struct sk_buff *skb,
		      struct dst_entry *dst)
{
	bool v6 = dst->ops->family == AF_INET6;

	if (!out_prepare(net, skb, dst))
		return;
	/* What local_out would do besides is done, but for a VRF's way out and IPv4's counter. */
	if (quiet(net, v6) && !netif_is_l3_slave(skb_dst(skb)->dev)) {
		if (!v6)
			IP_INC_STATS(net, IPSTATS_MIB_OUTREQUESTS);
		dst_output(net, NULL, skb);
		return;
	}
	if (v6)
		ip6_local_out(net, NULL, skb);
	else
		ip_local_out(net, NULL, skb);
}

void rlvs_icmp4(struct sk_buff *skb, u8 type, u8 code, u32 info)
{
	have_dev(skb);
	icmp_send(skb, type, code, htonl(info));
}

void rlvs_icmp6(struct sk_buff *skb, u8 type, u8 code, u32 info)
{
	have_dev(skb);
	icmpv6_send(skb, type, code, info);
}

void rlvs_link_failure(struct sk_buff *skb)
{
	have_dev(skb);
	dst_link_failure(skb);
}

/* Whether the socket leaves it to the host to cut its packets. */
static bool lets_cut(const struct sock *sk, bool v6)
{
	int discover = v6 ? READ_ONCE(inet6_sk(sk)->pmtudisc) :
			    READ_ONCE(inet_sk(sk)->pmtudisc);

	if (sk->sk_type == SOCK_RAW || (v6 && inet6_test_bit(DONTFRAG, sk)))
		return false;
	/* The numbers are the same for both families. */
	return discover != IP_PMTUDISC_DO && discover != IP_PMTUDISC_PROBE;
}

/*
 * A packet on its way out of this host that is too large for the way that it
 * will take: the route that its socket knows, which leads to this host, learns
 * the way's @mtu. True if the packet was the host's own; if its socket lets it,
 * the output cuts it then, so that nothing is lost.
 */
bool rlvs_own_too_big(struct net *net, struct sk_buff *skb, u32 mtu, bool v6)
{
	struct dst_entry *dst = skb_dst(skb);
	struct sock *sk = skb->sk;
	bool connected;

	if (skb->dev || !sk || !sk_fullsock(sk))
		return false;
	connected = v6 ? ipv6_addr_equal(&sk->sk_v6_daddr, &ipv6_hdr(skb)->daddr) :
			 sk->sk_daddr == ip_hdr(skb)->daddr;
	if (connected)
		dst->ops->update_pmtu(dst, sk, NULL, mtu, false);
	else if (v6)
		ip6_update_pmtu(skb, net, htonl(mtu), sk->sk_bound_dev_if,
				READ_ONCE(sk->sk_mark), sk_uid(sk));
	else
		ipv4_update_pmtu(skb, net, mtu, sk->sk_bound_dev_if,
				 ip_hdr(skb)->protocol);
	/* Nobody else tells a socket that its IPv4 route to an address of this host has changed. */
	if (!v6)
		WRITE_ONCE(dst->obsolete, DST_OBSOLETE_KILL);
	if (!lets_cut(sk, v6))
		return false;
	skb->ignore_df = 1;
	return true;
}

/* skb->data stands at the quoted packet that was too large. */
void rlvs_update_pmtu4(struct net *net, struct sk_buff *skb, u32 mtu)
{
	ipv4_update_pmtu(skb, net, mtu, 0, IPPROTO_IPIP);
}

void rlvs_update_pmtu6(struct net *net, struct sk_buff *skb, u32 mtu)
{
	ip6_update_pmtu(skb, net, htonl(mtu), 0, 0, sock_net_uid(net, NULL));
}
