# SPDX-License-Identifier: GPL-2.0
"""The kernel's log."""

import os


class Log:
    """What the kernel says from the moment that this is made."""

    def __init__(self):
        self.file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.file, 0, os.SEEK_END)

    def close(self):
        """Stop."""
        os.close(self.file)

    def lines(self):
        """What the kernel has said since the last time."""
        while True:
            try:
                yield os.read(self.file, 8192).decode(errors="replace").partition(";")[2].strip()
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue
