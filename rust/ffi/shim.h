/* SPDX-License-Identifier: GPL-2.0 */
/* The C side of rlvs: prototypes that both the C files and bindgen read. */
#ifndef RLVS_SHIM_H
#define RLVS_SHIM_H

#include <linux/types.h>

struct dst_entry;
struct in6_addr;
struct kmem_cache;
struct net;
struct sk_buff;
struct spinlock;
struct rlvs_index_locks;
struct rlvs_watch;
struct rlvs_worker;

/* shim_core.c: memory, locks, counters, workers */

#define RLVS_INDEX_LOCKS 256

/* One set of counters: connections, then packets and bytes in and out. */
struct rlvs_stats {
	unsigned long long conns;
	unsigned long long inpkts;
	unsigned long long outpkts;
	unsigned long long inbytes;
	unsigned long long outbytes;
};

void *rlvs_kvzalloc(size_t size);
struct kmem_cache *rlvs_cache_create(const char *name, unsigned int size,
				     unsigned int align);
void *rlvs_cache_alloc(struct kmem_cache *cache);

void rlvs_spin_init(struct spinlock *lock);
void rlvs_spin_lock_bh(struct spinlock *lock);
void rlvs_spin_unlock_bh(struct spinlock *lock);

struct rlvs_index_locks *rlvs_index_locks_alloc(void);
void rlvs_index_lock(struct rlvs_index_locks *locks, u32 a, u32 b);
void rlvs_index_unlock(struct rlvs_index_locks *locks, u32 a, u32 b);

struct rlvs_stats *rlvs_stats_alloc(void);
void rlvs_stats_free(struct rlvs_stats *stats);
void rlvs_stats_read(const struct rlvs_stats *stats, struct rlvs_stats *sum);
void rlvs_stats_read_cpu(const struct rlvs_stats *stats, u32 cpu,
			 struct rlvs_stats *sum);
void rlvs_stats_shift(struct rlvs_stats *stats, const struct rlvs_stats *by,
		      bool up);

#define RLVS_TALLY 16

/* A set of plain counters. */
struct rlvs_tally {
	unsigned long long n[RLVS_TALLY];
};

struct rlvs_tally *rlvs_tally_alloc(void);
void rlvs_tally_free(struct rlvs_tally *tally);
void rlvs_tally_add(struct rlvs_tally *tally, u32 index);
void rlvs_tally_read(const struct rlvs_tally *tally, struct rlvs_tally *sum);

#define RLVS_WORKER_REST ULONG_MAX

struct rlvs_worker *rlvs_worker_new(unsigned long (*run)(void *data),
				    void *data);
void rlvs_worker_nudge(struct rlvs_worker *worker, unsigned long delay);
void rlvs_worker_kick(struct rlvs_worker *worker, unsigned long delay);
void rlvs_worker_stop(struct rlvs_worker *worker);

void rlvs_drop_later(struct callback_head *head,
		     void (*drop)(struct callback_head *head));
void rlvs_rcu_barrier(void);

void rlvs_log_scheduler(const char *name, int name_len, u32 mark, u8 proto,
			const u8 *v4, const u8 *v6, u16 port,
			const char *text, int text_len);

void *rlvs_net_generic(const struct net *net, unsigned int id);
void rlvs_cond_resched(void);

/* shim_skb.c: looking at and changing a packet */

#define RLVS_SKB_HOST 1
#define RLVS_SKB_MARKED 2
#define RLVS_SKB_GSO 8
#define RLVS_SKB_ROUTED 16
#define RLVS_SKB_NODEFRAG 32

/* Where a packet came in, and its mark. */
struct rlvs_origin {
	u32 iif;
	u32 mark;
};

u32 rlvs_skb_facts(const struct sk_buff *skb);
void rlvs_skb_origin(struct sk_buff *skb, bool v6, struct rlvs_origin *origin);
u32 rlvs_skb_fwmark(const struct sk_buff *skb);
void rlvs_skb_set_fwmark(struct sk_buff *skb, u32 mark);
void rlvs_skb_forget(struct sk_buff *skb, bool v6);
u32 rlvs_skb_link(const struct sk_buff *skb, bool v6);
u32 rlvs_skb_vrf(struct net *net, const struct sk_buff *skb, u32 link);
struct dst_entry *rlvs_skb_hold_dst(const struct sk_buff *skb);
bool rlvs_skb_pull(struct sk_buff *skb, unsigned int len);
bool rlvs_skb_writable(struct sk_buff *skb, unsigned int len);
bool rlvs_skb_partial(const struct sk_buff *skb, unsigned int end);
bool rlvs_skb_fits(const struct sk_buff *skb, unsigned int mtu);
bool rlvs_skb_complete_csum(struct sk_buff *skb);
bool rlvs_skb_icmp_valid(struct sk_buff *skb, unsigned int hook,
			 unsigned int offset, bool v6);
void rlvs_skb_prioritise(struct sk_buff *skb, bool v6);
void rlvs_skb_mark(struct sk_buff *skb);
void rlvs_skb_pass_by(struct sk_buff *skb);
void rlvs_skb_set_route(struct sk_buff *skb, struct dst_entry *dst, bool hold);
void rlvs_skb_orphan(struct sk_buff *skb);
int rlvs_skb_defrag4(struct net *net, struct sk_buff *skb, unsigned int hook);
u32 rlvs_skb_frag_max(const struct sk_buff *skb, bool v6);
bool rlvs_skb_is_merged(const struct sk_buff *skb);
bool rlvs_skb_strip(struct sk_buff *skb, unsigned int len, bool v6);

/* shim_route.c: the way to an address */

bool rlvs_port_is_privileged(struct net *net, u16 port);

#define RLVS_ROUTE_LOCAL 1
#define RLVS_ROUTE_DIRECT 2
#define RLVS_ROUTE_POLICED 4
#define RLVS_ROUTE_SINGLE 8

/* What a route is asked for, besides the addresses. */
struct rlvs_query {
	u32 mark;
	u32 l3mdev;
	u32 oif;
	__be16 sport;
	__be16 dport;
	u8 proto;
	u8 tos;
	bool known_nh;
	bool want_saddr;
};

struct dst_entry *rlvs_route4(struct net *net, __be32 daddr, __be32 *saddr,
			      const struct rlvs_query *query);
struct dst_entry *rlvs_route6(struct net *net, const struct in6_addr *daddr,
			      struct in6_addr *saddr,
			      const struct rlvs_query *query);
bool rlvs_route_ruled(struct net *net, bool v6);
bool rlvs_policed(const struct net *net);
bool rlvs_skb_policed(struct net *net, const struct sk_buff *skb);
bool rlvs_route_hold(struct dst_entry *dst);
void rlvs_route_put(struct dst_entry *dst);
u32 rlvs_route_cookie(const struct dst_entry *dst);
u32 rlvs_route_flags(const struct net *net, const struct dst_entry *dst);
#define RLVS_ADDR_OTHER 0
#define RLVS_ADDR_LOCAL 1
#define RLVS_ADDR_UNICAST 2

u32 rlvs_addr_type4(struct net *net, __be32 addr);
u32 rlvs_addr_type6(struct net *net, const struct in6_addr *addr);
int rlvs_defrag6_get(struct net *net);
void rlvs_defrag6_put(struct net *net);

/* shim_early.c: what each packet of a known flow asks */

#define RLVS_EARLY_PARTIAL 0x80000000

/* Why a packet can't go early; below the smallest MTU. */
#define RLVS_EARLY_REFUSED 1
#define RLVS_EARLY_INTERFACE 2
#define RLVS_EARLY_PATH 3
#define RLVS_EARLY_SIZE 4
#define RLVS_EARLY_REASONS 16

void rlvs_stats_conn(struct rlvs_stats *stats);
void rlvs_stats_in(struct rlvs_stats *stats, u32 bytes);
void rlvs_stats_out(struct rlvs_stats *stats, u32 bytes);
u32 rlvs_route_check(struct dst_entry *dst, u32 cookie);
bool rlvs_early_forwards6(const struct sk_buff *skb);
u32 rlvs_early_ready(struct sk_buff *skb, const struct rlvs_origin *origin,
		     struct dst_entry *dst, u32 cookie, u32 spare, u32 len);
void rlvs_early_send(struct sk_buff *skb, struct dst_entry *dst,
		     struct rlvs_stats *stats, u32 bytes, bool out);
void rlvs_xmit_neigh(struct sk_buff *skb, struct dst_entry *dst);

/* shim_xfrm.c: IPsec's policies */

bool rlvs_policy_in(struct sk_buff *skb, bool v6);
bool rlvs_policy_out(struct net *net, struct sk_buff *skb);

/* Between whom a packet will travel; IPv4 addresses are mapped. No protocol: as it is. */
struct rlvs_ends {
	struct in6_addr from;
	struct in6_addr to;
	__be16 sport;
	__be16 dport;
	u8 proto;
};

u32 rlvs_policy_mtu(struct net *net, struct sk_buff *skb,
		    struct dst_entry *dst, const struct rlvs_ends *ends);

/* shim_ct.c: connection tracking */

#define RLVS_CT_NONE 0
#define RLVS_CT_TRACKED 1
#define RLVS_CT_DROP 2

u32 rlvs_ct_arrive(struct sk_buff *skb);
bool rlvs_ct_is_open(const struct sk_buff *skb);
void rlvs_ct_keep(struct sk_buff *skb);
bool rlvs_ct_settled(struct sk_buff *skb);

/* shim_netdev.c: being told of network devices and addresses that go */

struct rlvs_watch *rlvs_watch_start(void (*gone)(struct net *net, bool device));
void rlvs_watch_stop(struct rlvs_watch *watch);

/* shim_xmit.c: sending a packet on its way */

bool rlvs_xmit_is_straight(struct net *net, const struct sk_buff *skb,
			   struct dst_entry *dst);
void rlvs_xmit_straight(struct sk_buff *skb, struct dst_entry *dst);
void rlvs_xmit_out(struct net *net, struct sk_buff *skb, struct dst_entry *dst,
		   bool tracked);
void rlvs_xmit_tunnel(struct net *net, struct sk_buff *skb,
		      struct dst_entry *dst);
u8 *rlvs_encap(struct sk_buff *skb, struct dst_entry *dst, unsigned int len,
	       bool outer_v6, bool inner_v6);
void rlvs_seal4(struct net *net, struct sk_buff *skb);
void rlvs_icmp4(struct sk_buff *skb, u8 type, u8 code, u32 info);
void rlvs_icmp6(struct sk_buff *skb, u8 type, u8 code, u32 info);
void rlvs_link_failure(struct sk_buff *skb);
bool rlvs_own_too_big(struct net *net, struct sk_buff *skb, u32 mtu, bool v6);
void rlvs_update_pmtu4(struct net *net, struct sk_buff *skb, u32 mtu);
void rlvs_update_pmtu6(struct net *net, struct sk_buff *skb, u32 mtu);

#endif
