// SPDX-License-Identifier: GPL-2.0
/* Bears the name of ip_vs where rlvs serves in its place. Loading it loads rlvs. */
#define pr_fmt(fmt) "ip_vs (of rlvs): " fmt

#include <linux/kmod.h>
#include <linux/kobject.h>
#include <linux/module.h>

void rlvs_stands_in(void);

static int conn_tab_bits;
module_param(conn_tab_bits, int, 0444);
MODULE_PARM_DESC(conn_tab_bits, "Taken for ip_vs's sake: rlvs's table grows by itself");

/* The other modules of these names need this one, as IPVS's do. */
void rlvs_stands_in(void)
{
}
EXPORT_SYMBOL_GPL(rlvs_stands_in);

/*
 * Not by a symbol of rlvs: "modprobe -r ip_vs" would remove rlvs as well, with
 * all that is configured.
 */
static int __init begin(void)
{
	struct kobject *rlvs;

	request_module("rlvs");
	rlvs = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "rlvs");
	kobject_put(rlvs);
	if (!rlvs) {
		pr_err("rlvs can't be loaded\n");
		return -ENODEV;
	}
	return 0;
}
module_init(begin);

static void __exit end(void)
{
}
module_exit(end);

/* By this rlvs knows it from the kernel's own ip_vs. */
MODULE_VERSION("rlvs");
MODULE_ALIAS("net-pf-16-proto-16-family-IPVS");
MODULE_DESCRIPTION("Stands in for ip_vs where rlvs serves");
MODULE_LICENSE("GPL");
