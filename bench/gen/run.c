// SPDX-License-Identifier: GPL-2.0
/* A run: a thread that pushes packets into the receive path. */
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
	struct gen_result result;
	struct completion done;
};

/* The processor that all packets come in on. */
#define CPU 0

static struct page_pool *pool;

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

/* Of the thread that plays the processor. */
static u64 cpu_ns(void)
{
	return host_ns(3); /* CLOCK_THREAD_CPUTIME_ID */
}

/* Of all that the kernel does. */
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
		t->result.failed += !gen_page(t->template, pool, addr_step, port_step);
		return;
	}
	skb = gen_packet(t->template, t->dev, pool, addr_step, port_step);
	if (unlikely(!skb))
		t->result.failed++;
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
		one_packet(t, t->order->start + n, &list);
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
	u32 n, count = t->order->count;
	u64 wall, cpu;

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

/* Has pages for the packets, which come back; they stay for later runs. */
static int have_pool(void)
{
	struct page_pool_params params = {
		.pool_size = 16 * BATCH, .nid = NUMA_NO_NODE, .dma_dir = DMA_FROM_DEVICE,
	};
	struct page_pool *new;

	if (pool)
		return 0;
	new = page_pool_create_percpu(&params, CPU);
	if (IS_ERR(new))
		return PTR_ERR(new);
	pool = new;
	return 0;
}

void gen_free_pool(void)
{
	page_pool_destroy(pool);
}

int gen_run(const struct gen_order *o, struct net_device *dev,
	    struct gen_result *result)
{
	static struct gen_template template;
	struct gen_thread thread = { .order = o, .template = &template, .dev = dev };
	struct task_struct *task;
	int err;

	if (!o->flows || !o->ports)
		return -EINVAL;
	err = gen_template_init(&template, o, dev);
	if (!err)
		err = have_pool();
	if (err)
		return err;
	init_completion(&thread.done);
	task = kthread_create_on_cpu(gen_thread, &thread, CPU, "rlvs_gen/%u");
	if (IS_ERR(task))
		return PTR_ERR(task);
	wake_up_process(task);
	wait_for_completion(&thread.done);
	*result = thread.result;
	return 0;
}
