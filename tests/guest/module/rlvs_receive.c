// SPDX-License-Identifier: GPL-2.0
/*
 * Gives the packets that come in by some devices the look that other hardware
 * or other parts of the kernel give them; for the guest's tests.
 *
 * mode=complete: the device has summed the packet up (CHECKSUM_COMPLETE).
 * mode=lro:      the device has joined the packet from several, and nobody may forward it.
 * mode=socket:   a socket is attached, as by a program at tc's ingress.
 * mode=paged:    no byte of the packet has been copied out of the page that it came in.
 * mode=tight:    there is no room in front of the packet for another header.
 *
 * The devices are those of the network namespace of whoever loads the module;
 * the parameter `handled` says how many packets got the look.
 */
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <net/sock.h>

#define MOST_DEVICES 4
/* Bytes of a joined packet that lie in one piece. */
#define LINEAR 54

static char *devs[MOST_DEVICES];
static int ndevs;
module_param_array(devs, charp, &ndevs, 0444);
MODULE_PARM_DESC(devs, "names of the devices");

static char *mode = "complete";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "complete, lro, socket, paged or tight");

static int param_get_handled(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops handled_ops = { .get = param_get_handled };
static atomic_t handled;
module_param_cb(handled, &handled_ops, &handled, 0444);
MODULE_PARM_DESC(handled, "packets that got the look so far");

static struct net_device *held[MOST_DEVICES];
static struct socket *sock;
static bool (*change)(struct sk_buff *skb);

/* The packet begins at its IP header, as a driver's does when it gives the sum. */
static bool sum_up(struct sk_buff *skb)
{
	if (skb_is_gso(skb))
		return false;
	if (skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb))
		return false;
	skb->csum = skb_checksum(skb, 0, skb->len, 0);
	skb->ip_summed = CHECKSUM_COMPLETE;
	skb->csum_complete_sw = 0;
	skb->csum_valid = 0;
	skb->csum_level = 0;
	return true;
}

/* Moves all but the first @linear bytes to a page; false: there are no more, too many, or no page. */
static bool cut(struct sk_buff *skb, unsigned int linear)
{
	unsigned int rest = skb->len - linear;
	struct page *page;

	if (skb_is_nonlinear(skb))
		return true;
	if (skb->len <= linear || rest > PAGE_SIZE)
		return false;
	page = alloc_page(GFP_ATOMIC);
	if (!page)
		return false;
	skb_copy_bits(skb, linear, page_address(page), rest);
	skb_trim(skb, linear);
	skb_add_rx_frag(skb, 0, page, 0, rest, PAGE_SIZE);
	return true;
}

static bool join(struct sk_buff *skb)
{
	if (skb_is_gso(skb))
		return false;
	/* Its sender's socket must not be given back more than it was charged. */
	skb_orphan(skb);
	if (!cut(skb, LINEAR))
		return false;
	skb_shinfo(skb)->gso_size = 536;
	skb_shinfo(skb)->gso_type = 0;
	return true;
}

static bool attach(struct sk_buff *skb)
{
	skb_orphan(skb);
	sock_hold(sock->sk);
	skb->sk = sock->sk;
	skb->destructor = sock_pfree;
	return true;
}

static bool put_in_page(struct sk_buff *skb)
{
	return !skb_is_gso(skb) && cut(skb, 0);
}

/* The copy has no room, not for the link's header either, which was there. */
static bool tighten(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
	skb_reset_mac_len(skb);
	return true;
}

/* A packet of its own, with as much room in front as the look wants. */
static struct sk_buff *copy(const struct sk_buff *skb)
{
	int room = change == tighten ? 0 : skb_headroom(skb);

	return skb_copy_expand(skb, room, skb_tailroom(skb), GFP_ATOMIC);
}

static rx_handler_result_t receive(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	bool ip = skb->protocol == htons(ETH_P_IP) ||
		  skb->protocol == htons(ETH_P_IPV6);

	if (!ip || skb->pkt_type == PACKET_LOOPBACK)
		return RX_HANDLER_PASS;
	/* Captures share the packet: what is changed has to be ours. */
	if (skb_shared(skb) || skb_cloned(skb) || change == tighten) {
		struct sk_buff *own = copy(skb);

		if (!own)
			return RX_HANDLER_PASS;
		consume_skb(skb);
		*pskb = skb = own;
	}
	if (change(skb))
		atomic_inc(&handled);
	return RX_HANDLER_PASS;
}

static void let_go(void)
{
	int i;

	rtnl_lock();
	for (i = 0; i < ndevs; i++) {
		if (!held[i])
			continue;
		netdev_rx_handler_unregister(held[i]);
		dev_put(held[i]);
	}
	rtnl_unlock();
	/* Packets with the socket may be under way. */
	synchronize_net();
	if (sock)
		sock_release(sock);
}

static int take(struct net *net)
{
	int i, err = 0;

	rtnl_lock();
	for (i = 0; i < ndevs && !err; i++) {
		struct net_device *dev = dev_get_by_name(net, devs[i]);

		err = dev ? netdev_rx_handler_register(dev, receive, NULL) : -ENODEV;
		if (!err)
			held[i] = dev;
		else
			dev_put(dev);
	}
	rtnl_unlock();
	return err;
}

static int __init receive_init(void)
{
	struct net *net = current->nsproxy->net_ns;
	int err = 0;

	if (!strcmp(mode, "complete"))
		change = sum_up;
	else if (!strcmp(mode, "lro"))
		change = join;
	else if (!strcmp(mode, "socket"))
		change = attach;
	else if (!strcmp(mode, "paged"))
		change = put_in_page;
	else if (!strcmp(mode, "tight"))
		change = tighten;
	else
		return -EINVAL;
	if (change == attach)
		err = sock_create_kern(net, PF_INET, SOCK_DGRAM, IPPROTO_UDP, &sock);
	if (err)
		return err;
	err = take(net);
	if (err)
		let_go();
	return err;
}

static void __exit receive_exit(void)
{
	let_go();
}

module_init(receive_init);
module_exit(receive_exit);
MODULE_DESCRIPTION("Gives received packets the look of other hardware, for tests of rlvs");
MODULE_LICENSE("GPL");
