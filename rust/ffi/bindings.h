/* SPDX-License-Identifier: GPL-2.0 */
/* Input of bindgen: the kernel headers and the shims that rlvs calls. */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/jiffies.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/sysctl.h>
#include <net/genetlink.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include "shim.h"
#include "shim_claim.h"
#include "shim_control.h"
#include "shim_proc.h"
#include "shim_sockopt.h"
