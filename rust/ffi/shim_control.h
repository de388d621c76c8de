/* SPDX-License-Identifier: GPL-2.0 */
/* Configuration: prototypes of shim_control.c that both it and bindgen read. */
#ifndef RLVS_SHIM_CONTROL_H
#define RLVS_SHIM_CONTROL_H

#include <linux/types.h>

struct ctl_table;
struct genl_family;
struct genl_info;
struct net;
struct netlink_callback;
struct nlattr;
struct sk_buff;

struct net *rlvs_genl_net(const struct genl_info *info);
struct genl_info *rlvs_genl_dump_info(struct netlink_callback *cb);
struct sk_buff *rlvs_genl_new(void);
void rlvs_genl_free(struct sk_buff *msg);
int rlvs_genl_reply(struct sk_buff *msg, struct genl_info *info);
void rlvs_genl_end(struct sk_buff *msg, void *header);
void rlvs_genl_cancel(struct sk_buff *msg, void *header);
void *rlvs_genl_dump_start(struct sk_buff *msg, struct netlink_callback *cb,
			   const struct genl_family *family, u8 cmd);
struct nlattr *rlvs_nest_start(struct sk_buff *msg, int type);
void rlvs_nest_end(struct sk_buff *msg, struct nlattr *nest);

u64 rlvs_ram_bytes(void);
u64 rlvs_free_pages(void);
u64 rlvs_buffer_pages(void);
bool rlvs_net_is_initial_user(const struct net *net);
u32 rlvs_net_user(const struct net *net);
bool rlvs_net_is_first(const struct net *net);

u32 rlvs_cpu_from(u32 cpu);
u32 rlvs_cpus_words(void);
void rlvs_cpus_default(unsigned long *cpus);
int rlvs_cpus_proc(const struct ctl_table *entry, int write, void *buffer,
		   size_t *len, loff_t *position);
int rlvs_pair_proc(const struct ctl_table *entry, int write, void *buffer,
		   size_t *len, loff_t *position);
int rlvs_absent_proc(const struct ctl_table *entry, int write, void *buffer,
		     size_t *len, loff_t *position);

#endif
