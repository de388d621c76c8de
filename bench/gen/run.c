// SPDX-License-Identifier: GPL-2.0
/* A run: threads, one a processor, that push packets into the receive path. */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/netdevice.h>
#include <linux/sched.h>
#include <linux/timex.h>
#include <net/page_pool/helpers.h>

#include "gen.h"

/* Packets between two looks at what else has to run, as in a NAPI poll. */
#define BATCH 64
/* A packet that takes longer counts as slow. */
#define SLOW_NS NSEC_PER_MSEC

struct gen_thread {
	const struct gen_order *order;
	const struct gen_template *template;
	struct net_device *dev;
	unsigned int cpu;
	struct gen_result result;
	struct completion done;
};

static struct page_pool *pools[NR_CPUS];

/* Threads that are ready; they start together. */
static atomic_t waiting;

#ifdef CONFIG_UML
/*
 * Processor time as the host counts it: its other programs are not in it. The
 * kernel is a process here, so it can simply ask the host's kernel.
 */
static u64 host_ns(long clock)
{
	struct { s64 sec, nsec; } now = {};
	long number = 228; /* clock_gettime */

	asm volatile("syscall" : "+a"(number) : "D"(clock), "S"(&now)
		     : "rcx", "r11", "memory");
	return now.sec * NSEC_PER_SEC + now.nsec;
}

/* Of the thread that plays the present processor. */
static u64 cpu_ns(void)
{
	return host_ns(3); /* CLOCK_THREAD_CPUTIME_ID */
}

/* Of all processors together. */
u64 gen_process_ns(void)
{
	return host_ns(2); /* CLOCK_PROCESS_CPUTIME_ID */
}
#else
/* QEMU's icount lets the clock go on by a nanosecond an instruction. */
static u64 cpu_ns(void)
{
	return get_cycles();
}
#endif

/* A number below a power of two for each number below it, all different. */
static u32 scatter(u32 n, u32 mask)
{
	n = (n * 0x9e3779b1u) & mask;
	n ^= n >> 9;
	n = (n * 0x85ebca6bu) & mask;
	return n ^ (n >> 11);
}

static u32 flow_number(const struct gen_order *o, u32 n)
{
	if (o->scattered)
		return o->first + scatter(n & (o->flows - 1), o->flows - 1);
	return o->first + n % o->flows;
}

static void time_packet(struct gen_result *r, u64 *last)
{
	u64 now = cpu_ns(), took = now - *last;

	r->slowest_ns = max(r->slowest_ns, took);
	r->slow += took > SLOW_NS;
	*last = now;
}

/* Makes a packet and passes it on, or puts it into the list. */
static void one_packet(struct gen_thread *t, u32 n, struct list_head *list)
{
	u32 flow = flow_number(t->order, n);
	u32 addr_step = flow / t->order->ports, port_step = flow % t->order->ports;
	struct sk_buff *skb;

	if (t->order->written) {
		t->result.failed += !gen_page(t->template, pools[t->cpu], addr_step, port_step);
		return;
	}
	skb = gen_packet(t->template, t->dev, pools[t->cpu], addr_step, port_step);
	if (unlikely(!skb))
		t->result.failed++;
	else if (t->order->freed)
		kfree_skb(skb);
	else if (t->order->listed)
		list_add_tail(&skb->list, list);
	else
		netif_receive_skb(skb);
}

static void one_batch(struct gen_thread *t, u32 start, u32 end)
{
	u64 last = t->order->each ? cpu_ns() : 0;
	LIST_HEAD(list);
	u32 n;

	local_bh_disable();
	for (n = start; n < end; n++) {
		one_packet(t, t->order->start + n * t->order->cpus + t->cpu, &list);
		if (t->order->each)
			time_packet(&t->result, &last);
	}
	if (!list_empty(&list))
		netif_receive_skb_list(&list);
	local_bh_enable();
}

static int gen_thread(void *data)
{
	struct gen_thread *t = data;
	u32 n, count = t->order->count / t->order->cpus;
	u64 wall, cpu;

	atomic_dec(&waiting);
	while (atomic_read(&waiting) > 0)
		cond_resched();
	wall = ktime_get_ns();
	cpu = cpu_ns();
	for (n = 0; n < count; n += BATCH) {
		one_batch(t, n, min(n + BATCH, count));
		cond_resched();
	}
	t->result.wall_ns = ktime_get_ns() - wall;
	t->result.cpu_ns = cpu_ns() - cpu;
	t->result.packets = count;
	complete(&t->done);
	return 0;
}

/* Has pages for the packets of a processor, which come back to it; they stay for later runs. */
static int have_pool(unsigned int cpu)
{
	struct page_pool_params params = {
		.pool_size = 16 * BATCH, .nid = NUMA_NO_NODE, .dma_dir = DMA_FROM_DEVICE,
	};
	struct page_pool *pool;

	if (pools[cpu])
		return 0;
	pool = page_pool_create_percpu(&params, cpu);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	pools[cpu] = pool;
	return 0;
}

void gen_free_pools(void)
{
	unsigned int i;

	for (i = 0; i < NR_CPUS; i++)
		page_pool_destroy(pools[i]);
}

static struct task_struct *create_thread(struct gen_thread *t, unsigned int cpu)
{
	int err = have_pool(cpu);

	return err ? ERR_PTR(err) : kthread_create_on_cpu(gen_thread, t, cpu, "rlvs_gen/%u");
}

static int create_threads(struct gen_thread *threads, struct task_struct **tasks,
			  const struct gen_order *o,
			  const struct gen_template *template,
			  struct net_device *dev)
{
	unsigned int i;

	for (i = 0; i < o->cpus; i++) {
		struct gen_thread *t = &threads[i];

		*t = (struct gen_thread) {
			.order = o, .template = template, .dev = dev, .cpu = i,
		};
		init_completion(&t->done);
		tasks[i] = create_thread(t, i);
		if (IS_ERR(tasks[i])) {
			int err = PTR_ERR(tasks[i]);

			while (i--)
				kthread_stop(tasks[i]);
			return err;
		}
	}
	return 0;
}

static void add_result(struct gen_result *sum, const struct gen_result *r)
{
	sum->packets += r->packets;
	sum->wall_ns += r->wall_ns;
	sum->cpu_ns += r->cpu_ns;
	sum->slow += r->slow;
	sum->failed += r->failed;
	sum->slowest_ns = max(sum->slowest_ns, r->slowest_ns);
}

int gen_run(const struct gen_order *o, struct net_device *dev,
	    struct gen_result *result)
{
	static struct gen_template template;
	static struct gen_thread threads[NR_CPUS];
	static struct task_struct *tasks[NR_CPUS];
	unsigned int i;
	int err;

	if (!o->cpus || o->cpus > num_online_cpus() || !o->flows || !o->ports)
		return -EINVAL;
	err = gen_template_init(&template, o, dev);
	if (err)
		return err;
	err = create_threads(threads, tasks, o, &template, dev);
	if (err)
		return err;
	atomic_set(&waiting, o->cpus);
	for (i = 0; i < o->cpus; i++)
		wake_up_process(tasks[i]);
	memset(result, 0, sizeof(*result));
	for (i = 0; i < o->cpus; i++) {
		wait_for_completion(&threads[i].done);
		add_result(result, &threads[i].result);
	}
	return 0;
}
