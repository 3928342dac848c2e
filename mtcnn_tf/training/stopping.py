"""How a training is stopped from outside: the running step ends first, and nothing is lost."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """The training was asked to stop and has saved where it stands; `signal_number` says by what."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Notes that the process was asked to stop, so that the running step can end first.

    A context: within it Ctrl-C and SIGTERM set `signal_number`; a second one stops at once. Only the main thread gets
    signals, in others nothing is noted.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def _note(self, signal_number: int, frame: FrameType | None):
        self.signal_number = signal_number
        self.__exit__()

    def __exit__(self, *exception: object) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())
