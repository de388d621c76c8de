// SPDX-License-Identifier: GPL-2.0
/* Being told of network devices that go. */
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/slab.h>

#include "shim.h"

struct rlvs_watch {
	struct notifier_block block;
	void (*gone)(struct net *net);
};

static int event(struct notifier_block *block, unsigned long event, void *info)
{
	struct rlvs_watch *watch = container_of(block, struct rlvs_watch, block);

	/* Once when its routes are gone, and again when no packet is under way. */
	if (event == NETDEV_DOWN || event == NETDEV_UNREGISTER)
		watch->gone(dev_net(netdev_notifier_info_to_dev(info)));
	return NOTIFY_DONE;
}

/* Calls @gone with the namespace of each device that goes; it may sleep. */
struct rlvs_watch *rlvs_watch_start(void (*gone)(struct net *net))
{
	struct rlvs_watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL);

	if (!watch)
		return NULL;
	watch->block.notifier_call = event;
	watch->gone = gone;
	if (register_netdevice_notifier(&watch->block)) {
		kfree(watch);
		return NULL;
	}
	return watch;
}

void rlvs_watch_stop(struct rlvs_watch *watch)
{
	unregister_netdevice_notifier(&watch->block);
	kfree(watch);
}
