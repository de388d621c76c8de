// SPDX-License-Identifier: GPL-2.0
/* Bears the name of one of IPVS's schedulers or helpers where rlvs serves in its place, which has its own. */
#include <linux/module.h>

void rlvs_stands_in(void);

static unsigned short ports[8];
module_param_array(ports, ushort, NULL, 0444);
MODULE_PARM_DESC(ports, "Taken for ip_vs_ftp's sake");

static int __init begin(void)
{
	rlvs_stands_in();
	return 0;
}
module_init(begin);

static void __exit end(void)
{
}
module_exit(end);

MODULE_DESCRIPTION("Stands in for a part of ip_vs where rlvs serves");
MODULE_LICENSE("GPL");
