"""Progress with an estimate of the end: a bar in a terminal, plain lines elsewhere, and always a plain log file."""

import contextlib
import datetime
import io
import os
import sys
import time

from cmo_tf.core import disk


class Progress:
    """Reports a run of `total` steps.

    Args:
        log_path: lines are appended there with their time.
        total, start: steps in all and already done.
        stream: where to report; a bar if it is a terminal.
        every: seconds between lines inside an epoch, where there is no bar.
        quiet: write the log alone.
    """

    def __init__(self, log_path, total, start=0, stream=None, every=30.0, quiet=False):
        self.total, self.start, self.step, self.every = total, start, start, every
        self.stream = io.StringIO() if quiet else stream or sys.stderr
        self.log_path = log_path
        with disk.writing(log_path, disk.BLOCK):
            self.log = open(log_path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - see close()
        if _ends_inside_a_line(log_path):  # a kill, or a full disk
            self.log.write("\n")
        self.began = self.spoke = time.monotonic()
        self.bar = _bar(total, start) if self.stream.isatty() and os.environ.get("TERM") != "dumb" else None

    def line(self, text: str) -> None:
        """A line of its own, in the terminal and the log. UserError where the log cannot be written."""
        self.note(text)
        with contextlib.suppress(OSError):  # a run outlives the terminal that it was started in
            if self.bar:
                self.bar.console.print(text, highlight=False, markup=False)
            else:
                print(text, file=self.stream, flush=True)

    def note(self, text: str) -> None:
        """A line in the log alone."""
        entry = f"{datetime.datetime.now().isoformat(' ', 'seconds')} {text}\n"
        with disk.writing(self.log_path, len(entry)):
            self.log.write(entry)
            self.log.flush()

    def back_to(self, step: int) -> None:
        """What was done after `step` is to be done again."""
        self.start, self.began = step, time.monotonic()
        self.update(step)

    def update(self, step: int) -> None:
        """One more step is done."""
        self.step = step
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=step)
        elif time.monotonic() - self.spoke >= self.every:
            self.line(f"step {step}/{self.total}, {self.remaining()} left")
            self.spoke = time.monotonic()

    def remaining(self) -> str:
        """Estimated time to the end, from the steps of this session."""
        done = self.step - self.start
        if not done:
            return "unknown time"
        seconds = (time.monotonic() - self.began) / done * (self.total - self.step)
        return str(datetime.timedelta(seconds=round(seconds)))

    def close(self) -> None:
        """Ends bar and log."""
        if self.bar:
            self.bar.stop()
        with contextlib.suppress(OSError):  # a full disk: what could not be written, `line` has told
            self.log.close()


def _ends_inside_a_line(path):
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read(1) not in (b"", b"\n")


def _bar(total, start):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    bar = Bar(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps, left"),
              TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    bar.add_task("training", total=total, completed=start)
    bar.start()
    return bar
