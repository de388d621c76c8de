// SPDX-License-Identifier: GPL-2.0
/* Building packets: one template a run, a cheap copy of it for each packet. */
#include <linux/etherdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <net/checksum.h>
#include <net/ip.h>
#include <net/page_pool/helpers.h>

#include "gen.h"

static void link_header(struct gen_template *t, const struct gen_order *o,
			const struct net_device *dev)
{
	struct ethhdr *eth = (struct ethhdr *)t->bytes;

	ether_addr_copy(eth->h_dest, dev->dev_addr);
	if (o->other)
		eth->h_dest[5] ^= 0xff;
	eth_broadcast_addr(eth->h_source);
	eth->h_source[0] = 2;
	eth->h_proto = htons(o->strange ? ETH_P_802_EX1 :
			     o->v6 ? ETH_P_IPV6 : ETH_P_IP);
}

static void header4(struct gen_template *t, const struct gen_order *o,
		    unsigned int l4_len)
{
	struct iphdr *ip = (struct iphdr *)(t->bytes + ETH_HLEN);

	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->protocol = o->proto;
	ip->frag_off = htons(IP_DF);
	ip->tot_len = htons(sizeof(*ip) + l4_len);
	memcpy(&ip->saddr, o->src, 4);
	memcpy(&ip->daddr, o->dst, 4);
	t->ip_check_at = (u8 *)&ip->check - t->bytes;
	t->addr_at = (u8 *)(o->vary_dst ? &ip->daddr : &ip->saddr) - t->bytes;
}

static void header6(struct gen_template *t, const struct gen_order *o,
		    unsigned int l4_len)
{
	struct ipv6hdr *ip = (struct ipv6hdr *)(t->bytes + ETH_HLEN);
	struct in6_addr *varies = o->vary_dst ? &ip->daddr : &ip->saddr;

	ip->version = 6;
	ip->hop_limit = 64;
	ip->nexthdr = o->proto;
	ip->payload_len = htons(l4_len);
	memcpy(&ip->saddr, o->src, 16);
	memcpy(&ip->daddr, o->dst, 16);
	t->addr_at = (u8 *)&varies->s6_addr32[3] - t->bytes;
}

static void udp_header(struct gen_template *t, u8 *at,
		       const struct gen_order *o, unsigned int l4_len)
{
	struct udphdr *udp = (struct udphdr *)at;

	udp->source = htons(o->sport);
	udp->dest = htons(o->dport);
	udp->len = htons(l4_len);
	t->check_at = (u8 *)&udp->check - t->bytes;
}

static void tcp_header(struct gen_template *t, u8 *at,
		       const struct gen_order *o)
{
	struct tcphdr *tcp = (struct tcphdr *)at;

	tcp->source = htons(o->sport);
	tcp->dest = htons(o->dport);
	tcp->seq = htonl(1000);
	tcp->doff = 5;
	at[13] = o->flags;
	tcp->window = htons(1024);
	t->check_at = (u8 *)&tcp->check - t->bytes;
}

/* Takes what varies out of the template and sums up the rest. */
static void sum_up(struct gen_template *t, const struct gen_order *o,
		   unsigned int l4_at)
{
	unsigned int l4_len = t->len - l4_at, addr_len = o->v6 ? 32 : 8;
	u8 *addr = t->bytes + t->addr_at, *port = t->bytes + t->port_at;
	u32 pseudo = htons(o->proto) + htons(l4_len);

	t->addr = ntohl(*(__be32 *)addr);
	t->port = ntohs(*(__be16 *)port);
	memset(addr, 0, 4);
	memset(port, 0, 2);
	if (t->ip_check_at)
		t->ip_sum = csum_fold(csum_partial(t->bytes + ETH_HLEN,
						   sizeof(struct iphdr), 0)) ^ 0xffff;
	/* Both addresses end where the transport header begins. */
	t->sum = csum_fold(csum_partial(t->bytes + l4_at - addr_len,
					addr_len + l4_len,
					(__force __wsum)pseudo)) ^ 0xffff;
}

int gen_template_init(struct gen_template *t, const struct gen_order *o,
		      const struct net_device *dev)
{
	bool tcp = o->proto == IPPROTO_TCP;
	unsigned int l4_at = ETH_HLEN + (o->v6 ? sizeof(struct ipv6hdr) :
						 sizeof(struct iphdr));
	unsigned int l4_len = o->payload + (tcp ? sizeof(struct tcphdr) :
						  sizeof(struct udphdr));

	if (o->payload > GEN_MAX || l4_at + l4_len > GEN_MAX)
		return -EMSGSIZE;
	memset(t, 0, sizeof(*t));
	t->len = l4_at + l4_len;
	link_header(t, o, dev);
	if (o->v6)
		header6(t, o, l4_len);
	else
		header4(t, o, l4_len);
	if (tcp)
		tcp_header(t, t->bytes + l4_at, o);
	else
		udp_header(t, t->bytes + l4_at, o, l4_len);
	t->port_at = l4_at + (o->vary_dst ? 2 : 0);
	sum_up(t, o, l4_at);
	return 0;
}

/* The checksum of what sums up to @sum, @addr and @port; all in memory order. */
static __sum16 finish(u32 sum, __be32 addr, __be16 port)
{
	u32 bits = (__force u32)addr;

	sum += (bits >> 16) + (bits & 0xffff) + (__force u16)port;
	return csum_fold((__force __wsum)sum);
}

/* Writes the packet of the flow that is so many addresses and ports on. */
static void gen_write(const struct gen_template *t, u8 *bytes, u32 addr_step,
		      u32 port_step)
{
	__be32 addr = htonl(t->addr + addr_step);
	__be16 port = htons(t->port + port_step);

	memcpy(bytes, t->bytes, t->len);
	*(__be32 *)(bytes + t->addr_at) = addr;
	*(__be16 *)(bytes + t->port_at) = port;
	if (t->ip_check_at)
		*(__sum16 *)(bytes + t->ip_check_at) = finish(t->ip_sum, addr, 0);
	*(__sum16 *)(bytes + t->check_at) = finish(t->sum, addr, port) ?: CSUM_MANGLED_0;
}

/* What is done for a packet before it is one, as if the card's driver dropped it: false without memory. */
bool gen_page(const struct gen_template *t, struct page_pool *pool,
	      u32 addr_step, u32 port_step)
{
	struct page *page = page_pool_dev_alloc_pages(pool);

	if (unlikely(!page))
		return false;
	gen_write(t, page_address(page), addr_step, port_step);
	page_pool_put_full_page(pool, page, true);
	return true;
}

/* A packet as a card's poll makes it, in a page that goes round; softirqs are off. */
struct sk_buff *gen_packet(const struct gen_template *t, struct net_device *dev,
			   struct page_pool *pool, u32 addr_step, u32 port_step)
{
	struct page *page = page_pool_dev_alloc_pages(pool);
	struct sk_buff *skb;

	if (unlikely(!page))
		return NULL;
	skb = napi_build_skb(page_address(page), PAGE_SIZE);
	if (unlikely(!skb)) {
		page_pool_put_full_page(pool, page, true);
		return NULL;
	}
	skb_mark_for_recycle(skb);
	skb_reserve(skb, NET_SKB_PAD + NET_IP_ALIGN);
	gen_write(t, __skb_put(skb, t->len), addr_step, port_step);
	skb->protocol = eth_type_trans(skb, dev);
	/* What a network card with checksum offload says. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	return skb;
}
