/* SPDX-License-Identifier: GPL-2.0 */
/* Files under /proc/net: prototypes of shim_proc.c that both it and bindgen read. */
#ifndef RLVS_SHIM_PROC_H
#define RLVS_SHIM_PROC_H

#include <linux/types.h>

struct net;
struct seq_file;

/*
 * Writes what stands at @here, which begins with two zeros. Says whether there is
 * more, and where, in @next.
 */
typedef bool (*rlvs_show)(struct seq_file *file, struct net *net,
			  const u64 *here, u64 *next);

int rlvs_proc_add(struct net *net, const char *name, u16 mode, rlvs_show show);
void rlvs_proc_remove(struct net *net, const char *name);
void rlvs_proc_write(struct seq_file *file, const void *bytes, size_t len);

#endif
