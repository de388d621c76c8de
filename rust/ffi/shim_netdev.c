// SPDX-License-Identifier: GPL-2.0
/* Being told of network devices and addresses that go. */
#include <linux/inetdevice.h>
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <net/addrconf.h>
#include <net/if_inet6.h>

#include "shim.h"

struct rlvs_watch {
	struct notifier_block devices;
	struct notifier_block addresses4;
	struct notifier_block addresses6;
	void (*gone)(struct net *net, bool device);
};

static int device_event(struct notifier_block *block, unsigned long event,
			void *info)
{
	struct rlvs_watch *watch =
		container_of(block, struct rlvs_watch, devices);

	/* Once when its routes are gone, and again when no packet is under way. */
	if (event == NETDEV_DOWN || event == NETDEV_UNREGISTER)
		watch->gone(dev_net(netdev_notifier_info_to_dev(info)), true);
	return NOTIFY_DONE;
}

static int address4_event(struct notifier_block *block, unsigned long event,
			  void *info)
{
	struct rlvs_watch *watch =
		container_of(block, struct rlvs_watch, addresses4);
	struct in_ifaddr *address = info;

	if (event == NETDEV_DOWN)
		watch->gone(dev_net(address->ifa_dev->dev), false);
	return NOTIFY_DONE;
}

static int address6_event(struct notifier_block *block, unsigned long event,
			  void *info)
{
	struct rlvs_watch *watch =
		container_of(block, struct rlvs_watch, addresses6);
	struct inet6_ifaddr *address = info;

	if (event == NETDEV_DOWN)
		watch->gone(dev_net(address->idev->dev), false);
	return NOTIFY_DONE;
}

/*
 * Calls @gone with the namespace of each device, and of each address, that goes.
 * It may not sleep with an address.
 */
struct rlvs_watch *rlvs_watch_start(void (*gone)(struct net *net, bool device))
{
	struct rlvs_watch *watch = kzalloc(sizeof(*watch), GFP_KERNEL);

	if (!watch)
		return NULL;
	watch->devices.notifier_call = device_event;
	watch->addresses4.notifier_call = address4_event;
	watch->addresses6.notifier_call = address6_event;
	watch->gone = gone;
	if (register_netdevice_notifier(&watch->devices)) {
		kfree(watch);
		return NULL;
	}
	register_inetaddr_notifier(&watch->addresses4);
	register_inet6addr_notifier(&watch->addresses6);
	return watch;
}

void rlvs_watch_stop(struct rlvs_watch *watch)
{
	unregister_inet6addr_notifier(&watch->addresses6);
	unregister_inetaddr_notifier(&watch->addresses4);
	unregister_netdevice_notifier(&watch->devices);
	kfree(watch);
}
