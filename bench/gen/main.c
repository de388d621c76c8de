// SPDX-License-Identifier: GPL-2.0
/*
 * Packets as a network card would deliver them, counted and timed.
 *
 * Writing "name=value ..." to /proc/rlvs_gen runs an order (struct gen_order) on
 * a device of the writer's network namespace, and returns when it is done;
 * reading tells the result, and how much processor time the whole kernel has
 * had. Addresses are 32 hexadecimal digits.
 */
#include <linux/hex.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "gen.h"

static DEFINE_MUTEX(lock);
static struct gen_result last;

#define FIELD(name) { #name, offsetof(struct gen_order, name) }

static const struct { const char *name; size_t at; } numbers[] = {
	FIELD(v6), FIELD(proto), FIELD(sport), FIELD(dport), FIELD(flags),
	FIELD(payload), FIELD(other), FIELD(strange), FIELD(written),
	FIELD(listed), FIELD(vary_dst), FIELD(ports), FIELD(flows), FIELD(first), FIELD(start), FIELD(scattered), FIELD(count),
	FIELD(each),
};

static int parse_number(struct gen_order *o, const char *name, const char *value)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(name, numbers[i].name))
			return kstrtou32(value, 0, (u32 *)((u8 *)o + numbers[i].at));
	return -EINVAL;
}

static int parse_word(struct gen_order *o, char *word)
{
	char *name = strsep(&word, "=");

	if (!word)
		return -EINVAL;
	if (!strcmp(name, "dev"))
		return strscpy(o->dev, word) < 0 ? -EINVAL : 0;
	if (!strcmp(name, "src") || !strcmp(name, "dst"))
		return strlen(word) != 32 ? -EINVAL :
		       hex2bin(name[0] == 's' ? o->src : o->dst, word, 16);
	return parse_number(o, name, word);
}

static int parse(struct gen_order *o, char *text)
{
	char *word;
	int err;

	*o = (struct gen_order) { .proto = IPPROTO_UDP, .ports = 64, .flows = 1 };
	while ((word = strsep(&text, " \n"))) {
		err = *word ? parse_word(o, word) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int execute(char *text)
{
	struct net_device *dev;
	struct gen_order order;
	int err = parse(&order, text);

	if (err)
		return err;
	dev = dev_get_by_name(current->nsproxy->net_ns, order.dev);
	if (!dev)
		return -ENODEV;
	mutex_lock(&lock);
	err = gen_run(&order, dev, &last);
	mutex_unlock(&lock);
	dev_put(dev);
	return err;
}

static ssize_t gen_take(struct file *file, const char __user *text, size_t len,
			 loff_t *pos)
{
	char *copy = memdup_user_nul(text, min(len, PAGE_SIZE));
	int err;

	if (IS_ERR(copy))
		return PTR_ERR(copy);
	err = execute(copy);
	kfree(copy);
	return err ?: len;
}

static int gen_show(struct seq_file *m, void *v)
{
	seq_printf(m, "%llu %llu %llu %llu %llu %llu %llu\n", last.packets,
		   last.wall_ns, last.cpu_ns, last.slowest_ns, last.slow,
		   last.failed, gen_process_ns());
	return 0;
}

static int gen_open(struct inode *inode, struct file *file)
{
	return single_open(file, gen_show, NULL);
}

static const struct proc_ops gen_ops = {
	.proc_open = gen_open,
	.proc_read = seq_read,
	.proc_write = gen_take,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static int __init gen_init(void)
{
	int err = gen_watch_sleep();

	if (err)
		return err;
	if (IS_ENABLED(CONFIG_UML))
		gen_warm();
	if (proc_create("rlvs_gen", 0600, NULL, &gen_ops))
		return 0;
	gen_ignore_sleep();
	return -ENOMEM;
}

static void __exit gen_exit(void)
{
	remove_proc_entry("rlvs_gen", NULL);
	gen_ignore_sleep();
	gen_free_pool();
}

module_init(gen_init);
module_exit(gen_exit);
MODULE_DESCRIPTION("Packet generator of rlvs's benchmark");
MODULE_LICENSE("GPL");
