// SPDX-License-Identifier: GPL-2.0
/* Sending a packet on its way. */
#include <linux/icmpv6.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/neighbour.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/route.h>

#include "shim.h"

/* Readies a packet for @dev past routing and the hooks; false: dropped. */
static bool early_prepare(struct sk_buff *skb, struct dst_entry *dst)
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

/* Hands the packet to the neighbour on the way to @daddr. */
void rlvs_xmit_neigh4(struct sk_buff *skb, struct dst_entry *dst, __be32 daddr)
{
	__be32 nexthop = rt_nexthop(dst_rtable(dst), daddr);

	if (early_prepare(skb, dst))
		neigh_xmit(NEIGH_ARP_TABLE, dst->dev, &nexthop, skb);
}

void rlvs_xmit_neigh6(struct sk_buff *skb, struct dst_entry *dst,
		      const struct in6_addr *daddr)
{
	struct in6_addr to = *daddr;
	const struct in6_addr *nexthop = rt6_nexthop(dst_rt6_info(dst), &to);

	if (early_prepare(skb, dst))
		neigh_xmit(NEIGH_ND_TABLE, dst->dev, nexthop, skb);
}

/* What every packet gets before the host's own output takes it. */
static void out_prepare(struct sk_buff *skb, struct dst_entry *dst)
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
}

/* Through LOCAL_OUT and the ordinary output. */
void rlvs_xmit_out4(struct net *net, struct sk_buff *skb,
		    struct dst_entry *dst)
{
	out_prepare(skb, dst);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	NF_HOOK(NFPROTO_IPV4, NF_INET_LOCAL_OUT, net, NULL, skb, NULL,
		dst->dev, dst_output);
}

void rlvs_xmit_out6(struct net *net, struct sk_buff *skb,
		    struct dst_entry *dst)
{
	out_prepare(skb, dst);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	NF_HOOK(NFPROTO_IPV6, NF_INET_LOCAL_OUT, net, NULL, skb, NULL,
		dst->dev, dst_output);
}

/* Makes room for @len bytes of an outer header; NULL: no memory. */
u8 *rlvs_encap(struct sk_buff *skb, struct dst_entry *dst, unsigned int len,
	       bool outer_v6, bool inner_v6)
{
	unsigned int room = LL_RESERVED_SPACE(dst->dev) + dst->header_len + len;
	u8 *head;

	if (skb_cow_head(skb, room))
		return NULL;
	if (iptunnel_handle_offloads(skb, outer_v6 ? SKB_GSO_IPXIP6 :
						     SKB_GSO_IPXIP4))
		return NULL;
	skb->transport_header = skb->network_header;
	skb_set_inner_ipproto(skb, inner_v6 ? IPPROTO_IPV6 : IPPROTO_IPIP);
	head = skb_push(skb, len);
	skb_reset_network_header(skb);
	skb->protocol = outer_v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	if (outer_v6)
		memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	else
		memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	return head;
}

/* Fills in the identification of the outer IPv4 header. */
void rlvs_select_ident(struct net *net, struct sk_buff *skb)
{
	ip_select_ident_segs(net, skb, NULL,
			     max_t(int, skb_shinfo(skb)->gso_segs, 1));
}

void rlvs_xmit_tunnel4(struct net *net, struct sk_buff *skb,
		       struct dst_entry *dst)
{
	out_prepare(skb, dst);
	ip_local_out(net, NULL, skb);
}

void rlvs_xmit_tunnel6(struct net *net, struct sk_buff *skb,
		       struct dst_entry *dst)
{
	out_prepare(skb, dst);
	ip6_local_out(net, NULL, skb);
}

/* A packet of the host itself has no device yet, and the senders want one. */
static void have_dev(struct sk_buff *skb)
{
	if (!skb->dev && skb_dst(skb))
		skb->dev = skb_dst(skb)->dev;
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

/* skb->data stands at the quoted packet that was too large. */
void rlvs_update_pmtu4(struct net *net, struct sk_buff *skb, u32 mtu)
{
	ipv4_update_pmtu(skb, net, mtu, 0, IPPROTO_IPIP);
}

void rlvs_update_pmtu6(struct net *net, struct sk_buff *skb, u32 mtu)
{
	ip6_update_pmtu(skb, net, htonl(mtu), 0, 0, sock_net_uid(net, NULL));
}
