"""The memory that a process has needed."""

import re
import resource


def peak_rss() -> int:
    """Largest resident size of this process so far, in bytes.

    From Linux' own record of it; `ru_maxrss`, taken elsewhere, starts at the size of the process that started this one.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024
    except (OSError, TypeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
