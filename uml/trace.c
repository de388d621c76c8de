// SPDX-License-Identifier: GPL-2.0
/*
 * Takes the place of the same function in the kernel's arch/um/kernel/stacktrace.c, which looks at every word of
 * the stack. A kernel that watches itself keeps a trace of each allocation and each free, so this goes along the frames.
 */
static void __save_stack_trace(struct task_struct *tsk, struct stack_trace *trace)
{
	unsigned long frame = get_frame_pointer(tsk, tsk->thread.segv_regs);
	unsigned long stack = frame & -THREAD_SIZE, address, next;

	while (frame && !(frame & 7) && (frame & -THREAD_SIZE) == stack &&
	       trace->nr_entries < trace->max_entries) {
		address = READ_ONCE_NOCHECK(((unsigned long *)frame)[1]);
		if (!__kernel_text_address(address))
			break;
		trace->entries[trace->nr_entries++] = address;
		next = READ_ONCE_NOCHECK(((unsigned long *)frame)[0]);
		if (next <= frame)
			break;
		frame = next;
	}
}

