"""Ctrl-C in a fit: it ends the training, and is held back where work would be lost."""

import contextlib
import signal
import threading

from arena_estimators.exceptions import warn


class Interrupts:
    """What Ctrl-C does during one fit, which runs inside this context.

    Until `hold` is called, it raises KeyboardInterrupt as usual. From then on it is only noted, in
    `pending`, so that what was trained can be put together, and a warning at the end tells of it.
    Inside `allowed` it raises again, though not before the end of a `delayed` block.

    A process that has its own SIGINT handler is left alone, and so are threads other than the main
    one, which Ctrl-C never reaches.
    """

    def __init__(self):
        self.pending = False
        self._ended = False  # whether it ended the training, which has a warning of its own
        self._held = False

    def __enter__(self):
        in_main = threading.current_thread() is threading.main_thread()
        self._ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind, error, traceback):
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.pending and not self._ended and error is None:
            message = "The interruption came when the training was over; the estimator is complete."
            warn(message)

    def hold(self):
        """Hold Ctrl-C back from now on."""
        self._held = True

    @contextlib.contextmanager
    def allowed(self):
        """Let Ctrl-C raise KeyboardInterrupt, also one that was held back before."""
        held, self._held = self._held, False
        try:
            if self.pending:
                self._end()
            yield
        finally:
            self._held = held

    @contextlib.contextmanager
    def delayed(self):
        """Hold Ctrl-C back until the end of what must not be cut off."""
        held, self._held = self._held, True
        try:
            yield
        finally:
            self._held = held
        if self.pending and not held:
            self._end()

    def end_together(self, workers):
        """End the training of several processes here, if Ctrl-C came to any of them.

        A process that left alone would keep the others waiting for its part of a sum.
        """
        if workers.sum(int(self.pending)):
            self._end()

    def _handle(self, number, frame):
        if not self._held:
            self._end()
        self.pending = True

    def _end(self):
        self.pending, self._ended = False, True
        raise KeyboardInterrupt
