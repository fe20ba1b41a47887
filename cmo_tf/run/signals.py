"""SIGTERM and SIGINT ask the run to stop after the step it is in; a second SIGINT ends it at once."""

import contextlib
import signal


class Stopped(Exception):  # noqa: N818 - not an error: the run was asked to stop and saved itself
    """The run stopped for a signal, after saving. `exit_code` is 128 plus the signal's number."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command resumes")
        self.exit_code = 128 + number


class StopRequest:
    """Holds the number of the signal that came, or None."""

    number = None

    def poll(self, step) -> None:
        """Nobody else is to be asked; see `workers.SharedStop`."""

    def __call__(self, number, _frame):
        self.number = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def listening():
    """Yields a StopRequest while signals are caught; outside the main thread none are."""
    request, before = StopRequest(), {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, request)
    except ValueError:  # not the main thread
        before = {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
