// SPDX-License-Identifier: GPL-2.0
/* Looking at and changing a packet. */
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/dst_metadata.h>
#include <net/gso.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/l3mdev.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/route.h>

#include "shim.h"

#if !IS_ENABLED(CONFIG_IP_VS)
#error "rlvs marks its packets in sk_buff::ipvs_property, which needs CONFIG_IP_VS=m or y"
#endif

/* A raw socket that asked for its packets to be left alone (IP_NODEFRAG). */
static bool nodefrag(const struct sk_buff *skb)
{
	return skb->sk && sk_fullsock(skb->sk) &&
	       skb->sk->sk_family == PF_INET &&
	       inet_test_bit(NODEFRAG, skb->sk);
}

/* RLVS_SKB_*: all that the hooks ask about a packet's bits, in one call. */
u32 rlvs_skb_facts(const struct sk_buff *skb)
{
	u32 facts = 0;

	if (skb->pkt_type == PACKET_HOST)
		facts |= RLVS_SKB_HOST;
	if (skb->ipvs_property)
		facts |= RLVS_SKB_MARKED;
	if (skb_is_gso(skb))
		facts |= RLVS_SKB_GSO;
	if (skb_valid_dst(skb) && !(skb_dst(skb)->flags & DST_FAKE_RTABLE))
		facts |= RLVS_SKB_ROUTED;
	if (nodefrag(skb))
		facts |= RLVS_SKB_NODEFRAG;
	return facts;
}

/* The firewall mark that rules have given it. */
u32 rlvs_skb_fwmark(const struct sk_buff *skb)
{
	return skb->mark;
}

/* It gets another one. */
void rlvs_skb_set_fwmark(struct sk_buff *skb, u32 mark)
{
	skb->mark = mark;
}

/*
 * Where the packet came in: the interface that PREROUTING saw first, which the
 * receive path has noted, and the mark that it bears by now.
 *
 * A packet that had to wait, in a queue to user space for one, had to take a
 * reference of its route. What it has passed may be another rule set than today's,
 * so where it came from is forgotten: nobody may follow it.
 */
void rlvs_skb_origin(struct sk_buff *skb, bool v6, struct rlvs_origin *origin)
{
	int *iif = v6 ? &IP6CB(skb)->iif : &IPCB(skb)->iif;

	if (!skb_dst_is_noref(skb))
		*iif = 0;
	origin->iif = *iif;
	origin->mark = skb->mark;
}

/* Forgets where the packet came in, so that nobody may follow it. */
void rlvs_skb_forget(struct sk_buff *skb, bool v6)
{
	if (v6)
		IP6CB(skb)->iif = 0;
	else
		IPCB(skb)->iif = 0;
}

/*
 * The interface that answers to the packet must go back to, if addresses do not
 * tell: its sender's address is one of that link, or the link belongs to a VRF.
 */
u32 rlvs_skb_link(const struct sk_buff *skb, bool v6)
{
	if (!skb->dev)
		return 0;
	if (v6 && ipv6_addr_type(&ipv6_hdr(skb)->saddr) & IPV6_ADDR_LINKLOCAL)
		return IP6CB(skb)->iif;
	if (netif_is_l3_master(skb->dev))
		return v6 ? IP6CB(skb)->iif : IPCB(skb)->iif;
	return 0;
}

/* The VRF that interface @link, or else the packet's route, belongs to; or 0. */
u32 rlvs_skb_vrf(struct net *net, const struct sk_buff *skb, u32 link)
{
	if (link)
		return l3mdev_master_ifindex_by_index(net, link);
	return skb_dst(skb) ? l3mdev_master_ifindex(skb_dst(skb)->dev) : 0;
}

/* The packet's route with a reference; NULL: it is going away. */
struct dst_entry *rlvs_skb_hold_dst(const struct sk_buff *skb)
{
	struct dst_entry *dst = skb_dst(skb);

	return dst && dst_hold_safe(dst) ? dst : NULL;
}

/* The first @len bytes can be read in one piece. */
bool rlvs_skb_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

/*
 * The first @len bytes can be changed without anybody else seeing it. What a
 * device has summed up is no longer what the packet will be: the host's own
 * sockets would take the sum for theirs. (Those that leave lose it anyway.)
 */
bool rlvs_skb_writable(struct sk_buff *skb, unsigned int len)
{
	skb_forward_csum(skb);
	return skb_ensure_writable(skb, len) == 0;
}

/*
 * Whether the checksum that ends at @end holds only the sum of the pseudo header:
 * because it is the one that is left to the device, which may be another one
 * farther in, or because it is the outer one of packets that are to be made of this.
 */
bool rlvs_skb_partial(const struct sk_buff *skb, unsigned int end)
{
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return false;
	if (skb_checksum_start_offset(skb) + skb->csum_offset + sizeof(__sum16) == end)
		return true;
	return skb_is_gso(skb) &&
	       skb_shinfo(skb)->gso_type & SKB_GSO_UDP_TUNNEL_CSUM;
}

/* Whether the packet, or each segment that it will be cut into, fits @mtu. */
bool rlvs_skb_fits(const struct sk_buff *skb, unsigned int mtu)
{
	return skb->len <= mtu ||
	       (skb_is_gso(skb) && skb_gso_validate_network_len(skb, mtu));
}

/* Computes a checksum that was left to the device. */
bool rlvs_skb_complete_csum(struct sk_buff *skb)
{
	return skb->ip_summed != CHECKSUM_PARTIAL || !skb_checksum_help(skb);
}

/* Whether the checksum of the ICMP message at @offset is right. */
bool rlvs_skb_icmp_valid(struct sk_buff *skb, unsigned int hook,
			 unsigned int offset, bool v6)
{
	if (skb->ip_summed == CHECKSUM_PARTIAL)
		return true;
	return nf_checksum(skb, hook, offset, v6 ? IPPROTO_ICMPV6 : 0,
			   v6 ? PF_INET6 : PF_INET) == 0;
}

/* The packet is done: rlvs, IPVS and connection tracking let it pass from here on. */
void rlvs_skb_mark(struct sk_buff *skb)
{
	skb->ipvs_property = 1;
	nf_reset_ct(skb);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
}

/* What comes out of it, if it is a tunnel's, is marked then; tracked as ever. */
void rlvs_skb_pass_by(struct sk_buff *skb)
{
	skb->ipvs_property = 1;
}

/*
 * Gives @skb a route that stays for the read-side critical section. A packet of
 * the host's own (@hold) leaves that section with the hook and needs a reference;
 * those that came in stay in the one of the receive path.
 */
void rlvs_skb_set_route(struct sk_buff *skb, struct dst_entry *dst, bool hold)
{
	skb_dst_drop(skb);
	if (hold)
		skb_dst_set(skb, dst_clone(dst));
	else
		skb_dst_set_noref(skb, dst);
}

/* Lets go of a socket that early demultiplexing found for the old address. */
void rlvs_skb_orphan(struct sk_buff *skb)
{
	if (skb->dev && skb->sk)
		skb_orphan(skb);
}

/* 0: whole; otherwise the packet is kept until its fragments are there. */
int rlvs_skb_defrag4(struct net *net, struct sk_buff *skb, unsigned int hook)
{
	enum ip_defrag_users user = hook == NF_INET_FORWARD ? IP_DEFRAG_VS_FWD :
				    hook == NF_INET_LOCAL_IN ? IP_DEFRAG_VS_IN :
				    IP_DEFRAG_VS_OUT;
	int err;

	local_bh_disable();
	err = ip_defrag(net, skb, user);
	local_bh_enable();
	if (!err)
		ip_send_check(ip_hdr(skb));
	return err;
}

/* The size of the largest fragment of a reassembled packet, or 0. */
u32 rlvs_skb_frag_max(const struct sk_buff *skb, bool v6)
{
	return v6 ? IP6CB(skb)->frag_max_size : IPCB(skb)->frag_max_size;
}

/* Several packets that the card has put together for the host itself (LRO). */
bool rlvs_skb_is_merged(const struct sk_buff *skb)
{
	return unlikely(skb->data_len) && skb_shinfo(skb)->gso_size &&
	       !skb_shinfo(skb)->gso_type;
}

/* Takes @len bytes off the front, so that the packet starts at an inner header, which was read before. */
bool rlvs_skb_strip(struct sk_buff *skb, unsigned int len, bool v6)
{
	unsigned int header = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (skb_headlen(skb) < len + header)
		return false;
	skb_pull(skb, len);
	skb_reset_network_header(skb);
	/* The answer is sent by the inner header, so the outer one's notes go. */
	memset(skb->cb, 0, sizeof(skb->cb));
	if (v6)
		IP6CB(skb)->iif = skb->dev->ifindex;
	skb->protocol = v6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
	return true;
}
