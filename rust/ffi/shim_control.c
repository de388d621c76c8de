// SPDX-License-Identifier: GPL-2.0
/* Generic netlink messages and what the defaults follow from. */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/sched/isolation.h>
#include <linux/swap.h>
#include <linux/sysctl.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>

#include "shim_control.h"

struct net *rlvs_genl_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

struct genl_info *rlvs_genl_dump_info(struct netlink_callback *cb)
{
	return &((struct genl_dumpit_info *)cb->data)->info;
}

struct sk_buff *rlvs_genl_new(void)
{
	return genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
}

void rlvs_genl_free(struct sk_buff *msg)
{
	nlmsg_free(msg);
}

/* Sends @msg to who asked; frees it in any case. */
int rlvs_genl_reply(struct sk_buff *msg, struct genl_info *info)
{
	return genlmsg_reply(msg, info);
}

void rlvs_genl_end(struct sk_buff *msg, void *header)
{
	genlmsg_end(msg, header);
}

void rlvs_genl_cancel(struct sk_buff *msg, void *header)
{
	genlmsg_cancel(msg, header);
}

/* A part of a dump, marked if cb->seq has changed since the part before. */
void *rlvs_genl_dump_start(struct sk_buff *msg, struct netlink_callback *cb,
			   const struct genl_family *family, u8 cmd)
{
	void *header = genlmsg_put(msg, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, family, NLM_F_MULTI,
				   cmd);

	if (header)
		genl_dump_check_consistent(cb, header);
	return header;
}

/* Without NLA_F_NESTED, as IPVS writes them. */
struct nlattr *rlvs_nest_start(struct sk_buff *msg, int type)
{
	return nla_nest_start_noflag(msg, type);
}

void rlvs_nest_end(struct sk_buff *msg, struct nlattr *nest)
{
	nla_nest_end(msg, nest);
}

u64 rlvs_ram_bytes(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}

/* What IPVS counts as available: free, and used for blocks of devices. */
u64 rlvs_free_pages(void)
{
	struct sysinfo info;

	si_meminfo(&info);
	return (u64)info.freeram + info.bufferram;
}

u64 rlvs_buffer_pages(void)
{
	return nr_free_buffer_pages();
}

/* Whether the namespace belongs to the machine's own user namespace. */
bool rlvs_net_is_initial_user(const struct net *net)
{
	return net->user_ns == &init_user_ns;
}

/*
 * The user, by the number that the machine itself has for him, who made the
 * outermost of the user namespaces that the network namespace lies in.
 */
u32 rlvs_net_user(const struct net *net)
{
	const struct user_namespace *ns = net->user_ns;

	while (ns->parent && ns->parent != &init_user_ns)
		ns = ns->parent;
	return __kuid_val(ns->owner);
}

/* Whether the namespace is the machine's own. */
bool rlvs_net_is_first(const struct net *net)
{
	return net_eq(net, &init_net);
}

/* The first processor from @cpu on that may be there; U32_MAX: none. */
u32 rlvs_cpu_from(u32 cpu)
{
	while (cpu < nr_cpu_ids && !cpu_possible(cpu))
		cpu++;
	return cpu < nr_cpu_ids ? cpu : U32_MAX;
}

/* A set of processors has so many longs. */
u32 rlvs_cpus_words(void)
{
	return BITS_TO_LONGS(nr_cpu_ids);
}

/* Those that kernel threads may run on. */
void rlvs_cpus_default(unsigned long *cpus)
{
	bitmap_copy(cpus, cpumask_bits(housekeeping_cpumask(HK_TYPE_KTHREAD)),
		    nr_cpu_ids);
}

/* Shows or sets a list of processors, which stands at @entry->data. */
int rlvs_cpus_proc(const struct ctl_table *entry, int write, void *buffer,
		   size_t *len, loff_t *position)
{
	unsigned long *cpus = entry->data;
	struct ctl_table copy = *entry;

	copy.data = &cpus;
	copy.maxlen = nr_cpu_ids;
	return proc_do_large_bitmap(&copy, write, buffer, len, position);
}

/*
 * Shows or sets two numbers: the first is below the second, or that is 0. As in
 * IPVS what stands before a word that is no number is taken, and refused as well.
 */
int rlvs_pair_proc(const struct ctl_table *entry, int write, void *buffer,
		   size_t *len, loff_t *position)
{
	int *kept = entry->data;
	int numbers[2] = { READ_ONCE(kept[0]), READ_ONCE(kept[1]) };
	struct ctl_table copy = *entry;
	int err;

	copy.data = numbers;
	err = proc_dointvec(&copy, write, buffer, len, position);
	if (!write)
		return err;
	if (numbers[0] < 0 || numbers[1] < 0 ||
	    (numbers[1] && numbers[0] >= numbers[1]))
		return -EINVAL;
	WRITE_ONCE(kept[0], numbers[0]);
	WRITE_ONCE(kept[1], numbers[1]);
	return err;
}

/* A setting of what is not there: it is 0, and may be set to that alone. */
int rlvs_absent_proc(const struct ctl_table *entry, int write, void *buffer,
		     size_t *len, loff_t *position)
{
	struct ctl_table copy = *entry;
	int number = 0;
	int err;

	copy.data = &number;
	err = proc_dointvec(&copy, write, buffer, len, position);
	return err ?: number ? -EOPNOTSUPP : 0;
}
