"""Headless Chromium driven by its own DevTools protocol through two pipes: nothing but the browser is needed."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--window-size=1100,1000"),
)


class Page:
    """A page that was opened.

    Attributes:
        requested: Addresses that it asked for.
    """

    def __init__(self, send, receive):
        self._send, self._receive, self._number, self._session = send, receive, 0, None
        self._pending, self.requested = b"", []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Network.enable")

    def call(self, method, **params):
        """The protocol's answer to `method`: https://chromedevtools.github.io/devtools-protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while (answer := self._read(deadline)).get("id") != self._number:
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def run(self, expression):
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression, seconds=90):
        """The value of `expression`, once it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(expression)):
            assert time.monotonic() < deadline, f"{expression} did not get true; {self.run('document.body.innerText')}"
            time.sleep(0.1)
        return value

    def click(self, selector):
        """As a user does it, which a camera may ask for."""
        self.call("Runtime.evaluate", expression=f"document.querySelector('{selector}').click()", userGesture=True)

    def choose_file(self, selector, path):
        """Gives a file to an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def _read(self, deadline):
        while b"\0" not in self._pending:
            readable, _, _ = select.select([self._receive], [], [], max(deadline - time.monotonic(), 0))
            assert readable, "the browser does not answer"
            received = os.read(self._receive, 1 << 16)
            assert received, "the browser ended"
            self._pending += received
        message, self._pending = self._pending.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def opened(address, *flags):
    """The page at `address`, in a browser of its own."""
    with contextlib.ExitStack() as stack:
        # What Chromium keeps writing while it ends may be in the way of a folder's removal.
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        send, receive = stack.enter_context(_started(*flags, f"--user-data-dir={profile}"))
        page = Page(send, receive)
        page.call("Page.navigate", url=address)
        yield page


@contextlib.contextmanager
def _started(*flags):
    """A pipe to the browser and one from it; the browser has them as 3 and 4."""
    its_in, send = _pipe()
    receive, its_out = _pipe()
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    ends = [(os.POSIX_SPAWN_DUP2, its_in, 3), (os.POSIX_SPAWN_DUP2, its_out, 4)]
    process = os.posix_spawn(PROGRAM, [PROGRAM, *FLAGS, *flags], os.environ, file_actions=[*quiet, *ends], setpgroup=0)
    os.close(its_in)
    os.close(its_out)
    try:
        yield send, receive
    finally:
        os.close(send)
        os.close(receive)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _pipe():
    """Two ends whose numbers are none of those that the browser gets."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved
