// SPDX-License-Identifier: GPL-2.0
/* Files under /proc/net, which are shown piece by piece. */
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>
#include <net/net_namespace.h>

#include "shim_proc.h"

/* An open file: which piece is to be shown, and which is next. */
struct listing {
	struct seq_net_private net;
	u64 here[2];
	u64 next[2];
	bool more;
	bool over;
};

/* The kernel begins at 0, or goes on where it was. */
static void *listing_start(struct seq_file *file, loff_t *pos)
{
	struct listing *listing = file->private;

	if (*pos == 0) {
		memset(listing->here, 0, sizeof(listing->here));
		listing->over = false;
	}
	return listing->over ? NULL : listing;
}

static void *listing_next(struct seq_file *file, void *v, loff_t *pos)
{
	struct listing *listing = v;

	++*pos;
	memcpy(listing->here, listing->next, sizeof(listing->here));
	listing->over = !listing->more;
	cond_resched();
	return listing->over ? NULL : listing;
}

static void listing_stop(struct seq_file *file, void *v)
{
}

/* A piece that does not fit is shown once more, with more room. */
static int listing_show(struct seq_file *file, void *v)
{
	rlvs_show show = pde_data(file_inode(file->file));
	struct listing *listing = v;

	if (fatal_signal_pending(current))
		return -EINTR;
	listing->more = show(file, seq_file_net(file), listing->here,
			     listing->next);
	return 0;
}

static const struct seq_operations listing_operations = {
	.start = listing_start,
	.next = listing_next,
	.stop = listing_stop,
	.show = listing_show,
};

int rlvs_proc_add(struct net *net, const char *name, u16 mode, rlvs_show show)
{
	return proc_create_net_data(name, mode, net->proc_net,
				    &listing_operations, sizeof(struct listing),
				    show) ? 0 : -ENOMEM;
}

/* Waits for those who read it. */
void rlvs_proc_remove(struct net *net, const char *name)
{
	remove_proc_entry(name, net->proc_net);
}

void rlvs_proc_write(struct seq_file *file, const void *bytes, size_t len)
{
	seq_write(file, bytes, len);
}
