// SPDX-License-Identifier: GPL-2.0
/* Who has IPVS's names: the kernel's own ip_vs, or rlvs. */
#define pr_fmt(fmt) "rlvs: " fmt

#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/string.h>

#include "shim_claim.h"

/* What bears the name of ip_vs so that scripts find it belongs to rlvs, and says so by its version. */
static bool is_rival(const struct module *mod)
{
	return !strcmp(mod->name, "ip_vs") &&
	       !(mod->version && strstarts(mod->version, "rlvs"));
}

/*
 * Turns ip_vs away before its first own instruction. Its start would find /proc
 * entries that are there already, of which the kernel complains with a trace.
 */
static int module_event(struct notifier_block *block, unsigned long event,
			void *data)
{
	if (event != MODULE_STATE_COMING || !is_rival(data))
		return NOTIFY_DONE;
	pr_warn("ip_vs can't be loaded while rlvs has its names; load ip_vs first, or rlvs with doors=0\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block watch = {
	.notifier_call = module_event,
};

/* Whether ip_vs is there as a module, or compiled into the kernel. */
static bool rival_is_there(void)
{
	struct kobject *found =
		kset_find_obj(THIS_MODULE->mkobj.kobj.kset, "ip_vs");
	const struct module_kobject *kobject =
		container_of(found, struct module_kobject, kobj);
	bool rival = found && (!kobject->mod || is_rival(kobject->mod));

	kobject_put(found);
	return rival;
}

/* Keeps ip_vs out from now on; -EEXIST if it is there. */
int rlvs_claim(void)
{
	int err = register_module_notifier(&watch);

	if (err)
		return err;
	if (rival_is_there()) {
		unregister_module_notifier(&watch);
		return -EEXIST;
	}
	return 0;
}

void rlvs_unclaim(void)
{
	unregister_module_notifier(&watch);
}
