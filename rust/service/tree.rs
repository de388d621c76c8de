// SPDX-License-Identifier: GPL-2.0

//! What the kernel's ordered tree lacks.

use kernel::rbtree::RBTree;

use crate::sys::rcu;

/// Drops the values that `keep` does not want. For process context: it may take a while.
pub(super) fn retain<K: Ord, V>(tree: &mut RBTree<K, V>, mut keep: impl FnMut(&mut V) -> bool) {
    let mut next = tree.cursor_front_mut();
    while let Some(mut cursor) = next {
        rcu::cond_resched();
        let kept = keep(cursor.current_mut().1);
        let last = cursor.peek_next().is_none();
        next = match (kept, last) {
            (true, _) => cursor.move_next(),
            (false, false) => cursor.remove_current().0,
            // After the last it would lead back to the one before.
            (false, true) => {
                cursor.remove_current();
                None
            }
        };
    }
}
