// SPDX-License-Identifier: GPL-2.0
/* The guest's memory, touched once: what is new to the host costs the first packet in it a fault there. */
#include <linux/bottom_half.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>

#include "gen.h"

/* Pages of the host's large pages, as a power of two. */
#define LARGE 9

static void touch(struct page *page, unsigned int order)
{
	unsigned long i;

	for (i = 0; i < 1ul << order; i++)
		WRITE_ONCE(*(u8 *)page_address(page + i), 0);
}

/* Takes all blocks of this order that are free, reserves too, and touches them. */
static void take(struct list_head *taken, unsigned int order)
{
	struct page *page;

	while ((page = alloc_pages(GFP_NOWAIT | __GFP_NOWARN | __GFP_MEMALLOC, order))) {
		touch(page, order);
		list_add(&page->lru, taken);
	}
}

static void give_back(struct list_head *taken, unsigned int order)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, taken, lru) {
		list_del(&page->lru);
		__free_pages(page, order);
	}
}

/* Nobody else may need memory meanwhile: call it when nothing else runs. */
void gen_warm(void)
{
	struct list_head taken[LARGE + 1];
	int order;

	local_bh_disable();
	for (order = LARGE; order >= 0; order--) {
		INIT_LIST_HEAD(&taken[order]);
		take(&taken[order], order);
	}
	for (order = LARGE; order >= 0; order--)
		give_back(&taken[order], order);
	local_bh_enable();
}
