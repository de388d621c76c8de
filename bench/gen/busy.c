// SPDX-License-Identifier: GPL-2.0
/*
 * Instructions of everything that the machine does: its clock less the time that it was idle.
 *
 * For QEMU's icount, whose clock goes on by a nanosecond an instruction and jumps ahead when the
 * only processor sleeps. The kernel's own idle time is partly counted by ticks, so this takes the
 * time from when the processor goes to sleep to when an interrupt wakes it.
 */
#include <linux/kprobes.h>
#include <linux/timex.h>
#include <trace/events/power.h>

#include "gen.h"

#ifndef CONFIG_UML
/* Since when it sleeps, 0 if it does not; and for how long it has slept. */
static u64 asleep_since, slept;

static void falls_asleep(void *data, unsigned int state, unsigned int cpu)
{
	asleep_since = state == PWR_EVENT_EXIT ? 0 : get_cycles();
}

static int wakes_up(struct kprobe *probe, struct pt_regs *regs)
{
	if (asleep_since)
		slept += get_cycles() - asleep_since;
	asleep_since = 0;
	return 0;
}

static struct kprobe interrupt = { .symbol_name = "irq_enter_rcu", .pre_handler = wakes_up };

int gen_watch_sleep(void)
{
	int err = register_kprobe(&interrupt);

	if (!err)
		err = register_trace_cpu_idle(falls_asleep, NULL);
	return err;
}

void gen_ignore_sleep(void)
{
	unregister_trace_cpu_idle(falls_asleep, NULL);
	tracepoint_synchronize_unregister();
	unregister_kprobe(&interrupt);
}

u64 gen_process_ns(void)
{
	return get_cycles() - slept;
}
#else
int gen_watch_sleep(void)
{
	return 0;
}

void gen_ignore_sleep(void)
{
}
#endif
