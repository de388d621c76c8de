/* SPDX-License-Identifier: GPL-2.0 */
/* What a run of the generator is made of. */
#ifndef RLVS_GEN_H
#define RLVS_GEN_H

#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/netdevice.h>
#include <linux/types.h>

struct page_pool;

/* Longest packet, with its link header. */
#define GEN_MAX 1514

/* What the writer of /proc/rlvs_gen asked for. */
struct gen_order {
	char dev[IFNAMSIZ];
	u8 src[16], dst[16];	/* network byte order; IPv4 in the first four */
	u32 v6;
	u32 proto;		/* IPPROTO_UDP or IPPROTO_TCP */
	u32 sport, dport;
	u32 flags;		/* of TCP */
	u32 payload;		/* bytes */
	u32 other;		/* to another host's link address: dropped at once */
	u32 strange;		/* of a protocol that nobody takes */
	u32 written;		/* a page that is written, and given back */
	u32 listed;		/* received in lists, as from a card's poll */
	u32 vary_dst;		/* flows differ in the destination, not the source */
	u32 ports;		/* ports of an address, before the next one */
	u32 flows;		/* different flows; a power of two if scattered */
	u32 first;		/* number of the first one */
	u32 start;		/* packets of the order that are passed over */
	u32 scattered;		/* in an order that looks random, not in turn */
	u32 count;		/* packets */
	u32 each;		/* time every packet by itself */
};

/* A packet that all packets of a run are copies of, but for address and port. */
struct gen_template {
	unsigned int len;
	unsigned int addr_at, port_at;	/* what varies */
	unsigned int ip_check_at;	/* 0: no such field */
	unsigned int check_at;		/* of UDP or TCP */
	u32 addr, port;			/* of flow 0, host byte order */
	u32 ip_sum, sum;		/* one's complement sums of the rest */
	u8 bytes[GEN_MAX];
};

/* What a run took. */
struct gen_result {
	u64 packets;
	u64 wall_ns, cpu_ns;	/* of the thread */
	u64 slowest_ns;		/* the slowest packet's processor time, if timed */
	u64 slow;		/* packets over a millisecond */
	u64 failed;		/* packets that there was no memory for */
};

int gen_template_init(struct gen_template *t, const struct gen_order *o,
		      const struct net_device *dev);
bool gen_page(const struct gen_template *t, struct page_pool *pool,
	      u32 addr_step, u32 port_step);
struct sk_buff *gen_packet(const struct gen_template *t, struct net_device *dev,
			   struct page_pool *pool, u32 addr_step, u32 port_step);
int gen_run(const struct gen_order *o, struct net_device *dev,
	    struct gen_result *result);
void gen_free_pool(void);
u64 gen_process_ns(void);
int gen_watch_sleep(void);
void gen_ignore_sleep(void);
void gen_warm(void);

#endif
