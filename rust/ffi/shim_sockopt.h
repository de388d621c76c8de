/* SPDX-License-Identifier: GPL-2.0 */
/* Socket options of IPv4: prototypes of shim_sockopt.c that both it and bindgen read. */
#ifndef RLVS_SHIM_SOCKOPT_H
#define RLVS_SHIM_SOCKOPT_H

#include <linux/types.h>

struct net;

/* The first option, how many can be set and got, and the largest request. */
#define RLVS_SOCKOPT_FIRST 1152
#define RLVS_SOCKOPT_SETS 16
#define RLVS_SOCKOPT_GETS 8
#define RLVS_SOCKOPT_MOST 104

/* Sets an option, counted from the first. */
typedef int (*rlvs_sockopt_set)(struct net *net, u32 option, const u8 *request,
				size_t len);
/* Gets one: writes at most @room bytes @to the user; says how many it has, or an error. */
typedef int (*rlvs_sockopt_get)(struct net *net, u32 option, const u8 *request,
				size_t len, void *to, size_t room);

int rlvs_sockopt_register(rlvs_sockopt_set set, rlvs_sockopt_get get);
void rlvs_sockopt_unregister(void);
int rlvs_user_write(void *to, const void *bytes, size_t len);

#endif
