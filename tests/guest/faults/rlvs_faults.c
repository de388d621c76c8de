// SPDX-License-Identifier: GPL-2.0
/*
 * Lets the calls of rlvs that ask for memory fail, each by the place where it
 * stands; for the guest's tests.
 *
 * sites.py makes a copy of rlvs.ko in which these calls, its sites, come by here
 * first. In debugfs, rlvs_faults/arm takes lines "SITE HOW SKIP": the site lets SKIP
 * calls pass, and fails once, as HOW says. The word "none" disarms all sites and
 * forgets what they have counted. rlvs_faults/sites has a line for each that was
 * reached: its number, how often it was, and how often it failed.
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/uaccess.h>
#include <net/dst.h>
#include <net/ip6_fib.h>
#include <net/net_namespace.h>

#define SITES 512

/* How a function says that it has no memory. */
enum how {
	NONE,		/* it has some */
	NULL_POINTER,	/* returns NULL, false or nothing */
	ENOMEM_NUMBER,	/* returns the number, or a pointer that stands for it */
	ENOBUFS_NUMBER,
	FREES_PACKET,	/* returns the number, and the packet that it was given second is gone */
	PUTS_ROUTE,	/* returns such a pointer, and the route that it was given second is put */
	NO_ROUTE6,	/* returns the route that stands for none, of the namespace that comes first */
	REFUSES,	/* returns a function that returns the number */
	HOWS
};

static const char *const hows[HOWS] = {
	"none", "null", "enomem", "enobufs", "packet", "route", "route6", "function",
};

/* What a call has in registers, as the copy of rlvs puts them on the stack. */
struct rlvs_fault_call {
	u64 function;
	u64 result;
	u64 sixth;
	u64 fifth;
	u64 fourth;
	u64 third;
	u64 second;
	u64 first;
};

static struct site {
	enum how how;
	/* Calls until the one that fails, that one included. */
	atomic_t left;
	atomic_t reached;
	atomic_t failed;
} sites[SITES];

static int refuse(struct net *net)
{
	return -ENOMEM;
}

static void fail(enum how how, struct rlvs_fault_call *call)
{
	struct dst_entry *none;

	switch (how) {
	case ENOBUFS_NUMBER:
		call->result = -ENOBUFS;
		break;
	case FREES_PACKET:
		kfree_skb((struct sk_buff *)call->second);
		call->result = -ENOMEM;
		break;
	case PUTS_ROUTE:
		dst_release((struct dst_entry *)call->second);
		call->result = -ENOMEM;
		break;
	case NO_ROUTE6:
		none = &((struct net *)call->first)->ipv6.ip6_null_entry->dst;
		dst_hold(none);
		call->result = (u64)none;
		break;
	case REFUSES:
		call->result = (u64)refuse;
		break;
	case ENOMEM_NUMBER:
		call->result = -ENOMEM;
		break;
	default:
		call->result = 0;
	}
}

/* Whether a call fails; then @call has its result. Comes from everywhere. */
bool rlvs_faults_hit(unsigned int number, struct rlvs_fault_call *call);
bool rlvs_faults_hit(unsigned int number, struct rlvs_fault_call *call)
{
	struct site *site = &sites[number % SITES];
	enum how how = smp_load_acquire(&site->how);

	atomic_inc(&site->reached);
	if (how == NONE || atomic_dec_return(&site->left) != 0)
		return false;
	fail(how, call);
	atomic_inc(&site->failed);
	return true;
}
EXPORT_SYMBOL_GPL(rlvs_faults_hit);

static int sites_show(struct seq_file *file, void *unused)
{
	int i;

	for (i = 0; i < SITES; i++)
		if (atomic_read(&sites[i].reached))
			seq_printf(file, "%d %d %d\n", i,
				   atomic_read(&sites[i].reached),
				   atomic_read(&sites[i].failed));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sites);

static void disarm(void)
{
	int i;

	for (i = 0; i < SITES; i++) {
		WRITE_ONCE(sites[i].how, NONE);
		atomic_set(&sites[i].reached, 0);
		atomic_set(&sites[i].failed, 0);
	}
}

static int arm(const char *line)
{
	unsigned int number, skip;
	char word[16];
	int how;

	if (!strncmp(line, "none", 4)) {
		disarm();
		return 0;
	}
	if (sscanf(line, "%u %15s %u", &number, word, &skip) != 3 || number >= SITES)
		return -EINVAL;
	how = match_string(hows, HOWS, word);
	if (how < 0)
		return how;
	atomic_set(&sites[number].left, skip + 1);
	/* Who sees how it fails sees when. */
	smp_store_release(&sites[number].how, how);
	return 0;
}

static ssize_t arm_write(struct file *file, const char __user *text, size_t size, loff_t *position)
{
	char *lines = memdup_user_nul(text, size), *rest = lines, *line;
	int err = 0;

	if (IS_ERR(lines))
		return PTR_ERR(lines);
	while (!err && (line = strsep(&rest, "\n")))
		err = *line ? arm(line) : 0;
	kfree(lines);
	return err ?: size;
}

static const struct file_operations arm_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = arm_write,
};

static struct dentry *folder;

static int __init faults_init(void)
{
	folder = debugfs_create_dir("rlvs_faults", NULL);
	debugfs_create_file("sites", 0400, folder, NULL, &sites_fops);
	debugfs_create_file("arm", 0200, folder, NULL, &arm_fops);
	return PTR_ERR_OR_ZERO(folder);
}

static void __exit faults_exit(void)
{
	debugfs_remove(folder);
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Lets calls of rlvs fail for want of memory, for its tests");
MODULE_LICENSE("GPL");
