// SPDX-License-Identifier: GPL-2.0
/* Memory, locks, counters and workers, as rlvs needs them. */
#include <linux/in.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <net/netns/generic.h>

#include "shim.h"

#ifndef CONFIG_64BIT
#error "rlvs packs kernel pointers into 64-bit words and needs a 64-bit kernel"
#endif

/*
 * Zeroed memory of any size, charged to who asks; without a warning, NULL. Who asks
 * can do without: nothing is killed for it, and in large pieces, which are found
 * faster in use, it comes only if those are at hand (kvmalloc() would move and write
 * out other memory for them).
 */
void *rlvs_kvzalloc(size_t size)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO;
	const gfp_t easy = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY;
	void *memory = NULL;

	if (size <= KMALLOC_MAX_SIZE)
		memory = kmalloc(size, easy | __GFP_NOWARN);
	if (!memory)
		memory = vmalloc_huge(size, easy | __GFP_NOWARN);
	return memory ?: __vmalloc(size, gfp | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
}

struct kmem_cache *rlvs_cache_create(const char *name, unsigned int size,
				     unsigned int align)
{
	/* Not merged with other caches: users find rlvs in slabinfo. */
	return kmem_cache_create(name, size, align,
				 SLAB_NO_MERGE, NULL);
}

void *rlvs_cache_alloc(struct kmem_cache *cache)
{
	return kmem_cache_alloc(cache, GFP_ATOMIC | __GFP_NOWARN);
}

void rlvs_spin_init(struct spinlock *lock)
{
	spin_lock_init(lock);
}

void rlvs_spin_lock_bh(struct spinlock *lock)
{
	spin_lock_bh(lock);
}

void rlvs_spin_unlock_bh(struct spinlock *lock)
{
	spin_unlock_bh(lock);
}

/*
 * The locks of a flow index. An entry's lock follows from its hash alone, so
 * that a table and the larger one that replaces it share it.
 */
struct rlvs_index_locks {
	struct {
		spinlock_t lock;
	} ____cacheline_aligned_in_smp of[RLVS_INDEX_LOCKS];
};

struct rlvs_index_locks *rlvs_index_locks_alloc(void)
{
	struct rlvs_index_locks *locks;
	int i;

	locks = kvmalloc(sizeof(*locks), GFP_KERNEL_ACCOUNT);
	for (i = 0; locks && i < RLVS_INDEX_LOCKS; i++)
		spin_lock_init(&locks->of[i].lock);
	return locks;
}

/* Takes the locks of two entries in the order of their numbers. */
void rlvs_index_lock(struct rlvs_index_locks *locks, u32 a, u32 b)
{
	u32 low = min(a, b) % RLVS_INDEX_LOCKS;
	u32 high = max(a, b) % RLVS_INDEX_LOCKS;

	spin_lock_bh(&locks->of[low].lock);
	if (low != high)
		spin_lock_nested(&locks->of[high].lock, SINGLE_DEPTH_NESTING);
}

void rlvs_index_unlock(struct rlvs_index_locks *locks, u32 a, u32 b)
{
	u32 low = min(a, b) % RLVS_INDEX_LOCKS;
	u32 high = max(a, b) % RLVS_INDEX_LOCKS;

	if (low != high)
		spin_unlock(&locks->of[high].lock);
	spin_unlock_bh(&locks->of[low].lock);
}

struct rlvs_stats *rlvs_stats_alloc(void)
{
	/* Rust keeps the address as it is: it means nothing but to this file. */
	return (struct rlvs_stats *)(unsigned long)
		alloc_percpu_gfp(struct rlvs_stats, GFP_KERNEL_ACCOUNT);
}

static struct rlvs_stats __percpu *percpu(const struct rlvs_stats *stats)
{
	return (struct rlvs_stats __percpu *)(unsigned long)stats;
}

void rlvs_stats_free(struct rlvs_stats *stats)
{
	free_percpu(percpu(stats));
}

void rlvs_stats_read(const struct rlvs_stats *stats, struct rlvs_stats *sum)
{
	int cpu;

	for_each_possible_cpu(cpu)
		rlvs_stats_read_cpu(stats, cpu, sum);
}

/* Adds what a processor has counted; nothing if there can be no such processor. */
void rlvs_stats_read_cpu(const struct rlvs_stats *stats, u32 cpu,
			 struct rlvs_stats *sum)
{
	const struct rlvs_stats *s;

	if (cpu >= nr_cpu_ids || !cpu_possible(cpu))
		return;
	s = per_cpu_ptr(percpu(stats), cpu);
	sum->conns += READ_ONCE(s->conns);
	sum->inpkts += READ_ONCE(s->inpkts);
	sum->outpkts += READ_ONCE(s->outpkts);
	sum->inbytes += READ_ONCE(s->inbytes);
	sum->outbytes += READ_ONCE(s->outbytes);
}

/* Adds other counters to counters that no packet counts in, or takes them off. */
void rlvs_stats_shift(struct rlvs_stats *stats, const struct rlvs_stats *by,
		      bool up)
{
	u64 sign = up ? 1 : -1ULL;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct rlvs_stats *s = per_cpu_ptr(percpu(stats), cpu);
		struct rlvs_stats n = {};

		rlvs_stats_read_cpu(by, cpu, &n);
		s->conns += sign * n.conns;
		s->inpkts += sign * n.inpkts;
		s->outpkts += sign * n.outpkts;
		s->inbytes += sign * n.inbytes;
		s->outbytes += sign * n.outbytes;
	}
}

static struct rlvs_tally __percpu *tally_percpu(const struct rlvs_tally *tally)
{
	return (struct rlvs_tally __percpu *)(unsigned long)tally;
}

struct rlvs_tally *rlvs_tally_alloc(void)
{
	return (struct rlvs_tally *)(unsigned long)
		alloc_percpu_gfp(struct rlvs_tally, GFP_KERNEL_ACCOUNT);
}

void rlvs_tally_free(struct rlvs_tally *tally)
{
	free_percpu(tally_percpu(tally));
}

void rlvs_tally_add(struct rlvs_tally *tally, u32 index)
{
	this_cpu_inc(tally_percpu(tally)->n[index % RLVS_TALLY]);
}

void rlvs_tally_read(const struct rlvs_tally *tally, struct rlvs_tally *sum)
{
	int cpu, i;

	for_each_possible_cpu(cpu)
		for (i = 0; i < RLVS_TALLY; i++)
			sum->n[i] += READ_ONCE(
				per_cpu_ptr(tally_percpu(tally), cpu)->n[i]);
}

struct rlvs_worker {
	struct delayed_work work;
	unsigned long (*run)(void *data);
	void *data;
};

static void worker_fn(struct work_struct *work)
{
	struct rlvs_worker *w =
		container_of(to_delayed_work(work), struct rlvs_worker, work);
	unsigned long delay = w->run(w->data);

	/* Keeps a kick that came in the meantime: it is the earlier one. */
	if (delay != RLVS_WORKER_REST)
		queue_delayed_work(system_dfl_wq, &w->work, delay);
}

/*
 * Once kicked, calls @run, and then again after as many jiffies as it returned;
 * after RLVS_WORKER_REST when it is kicked.
 */
struct rlvs_worker *rlvs_worker_new(unsigned long (*run)(void *data),
				    void *data)
{
	struct rlvs_worker *w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);

	if (!w)
		return NULL;
	INIT_DELAYED_WORK(&w->work, worker_fn);
	w->run = run;
	w->data = data;
	return w;
}

/*
 * Lets the next run come in @delay jiffies, unless it comes sooner. However often
 * it is called, runs are no closer together than that.
 */
void rlvs_worker_nudge(struct rlvs_worker *worker, unsigned long delay)
{
	struct timer_list *timer = &worker->work.timer;

	if (queue_delayed_work(system_dfl_wq, &worker->work, delay))
		return;
	if (timer_pending(timer) &&
	    time_after(READ_ONCE(timer->expires), jiffies + delay))
		mod_delayed_work(system_dfl_wq, &worker->work, delay);
}

void rlvs_worker_kick(struct rlvs_worker *worker, unsigned long delay)
{
	mod_delayed_work(system_dfl_wq, &worker->work, delay);
}

void rlvs_worker_stop(struct rlvs_worker *worker)
{
	disable_delayed_work_sync(&worker->work);
	kfree(worker);
}

/*
 * What a grace period has freed the way for, but takes long to drop: a worker
 * does it. A head's next word links it, the other one says how it is dropped.
 */
static LLIST_HEAD(large);

static void drop_large(struct work_struct *work)
{
	struct llist_node *node = llist_del_all(&large);

	while (node) {
		struct rcu_head *head = (struct rcu_head *)node;

		node = node->next;
		head->func(head);
		cond_resched();
	}
}

static DECLARE_WORK(large_work, drop_large);

void rlvs_drop_later(struct callback_head *head,
		     void (*drop)(struct callback_head *head))
{
	head->func = drop;
	if (llist_add((struct llist_node *)head, &large))
		queue_work(system_dfl_wq, &large_work);
}

/* Waits until nothing is left of what was given to RCU. */
void rlvs_rcu_barrier(void)
{
	rcu_barrier();
	flush_work(&large_work);
}

void *rlvs_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

void rlvs_cond_resched(void)
{
	cond_resched();
}

/*
 * IPVS's line about a scheduler, word for word, at the kernel's rate for packets.
 * The name and the text come with their lengths; the address is @v6 if there is one.
 */
void rlvs_log_scheduler(const char *name, int name_len, u32 mark, u8 proto,
			const u8 *v4, const u8 *v6, u16 port,
			const char *text, int text_len)
{
	const char *protocol = proto == IPPROTO_UDP ? "UDP" : "TCP";

	if (!net_ratelimit())
		return;
	if (mark)
		pr_err("IPVS: %.*s: FWM %u 0x%08X - %.*s\n", name_len, name,
		       mark, mark, text_len, text);
	else if (v6)
		pr_err("IPVS: %.*s: %s [%pI6c]:%d - %.*s\n", name_len, name,
		       protocol, v6, port, text_len, text);
	else
		pr_err("IPVS: %.*s: %s %pI4:%d - %.*s\n", name_len, name,
		       protocol, v4, port, text_len, text);
}

/* The reassembly of IPv6 fragments is a module of its own, taken when needed. */
MODULE_SOFTDEP("pre: nf_defrag_ipv6");
