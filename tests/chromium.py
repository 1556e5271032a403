"""A headless Chromium that tests and benchmarks drive through its own debugging pipe; nothing has to be installed.

`page(file)` opens a file and gives a `Page`, which evaluates JavaScript and keeps errors and requests.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)

_WITH_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for number, end in zip((3, 4), ends):  # where the browser expects its pipe
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""

_WHEN_READY = """
new Promise((done, fail) => {
  const began = performance.now();
  const look = () => {
    if (document.querySelector("#trials")?.dataset.ready) return done();
    if (performance.now() - began > 20000) return fail(new Error("the table of trials did not come"));
    setTimeout(look, 5);
  };
  look();
})
"""


class Page:
    """One open page. `requests` are the addresses it asked for, `errors` what its console and script complained of."""

    def __init__(self, process: "subprocess.Popen[bytes]", to_browser: int, from_browser: int) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._process, self._to, self._from = process, to_browser, from_browser
        self._buffer, self._last, self._session = b"", 0, ""

    def start(self, width: int, height: int) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, file: Path, fragment: str = "") -> None:
        """Opens the file and waits until its table of trials can be used, at most 20 seconds."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"{file.absolute().as_uri()}{fragment}")
        self.evaluate(_WHEN_READY)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited. Raises AssertionError for what it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Presses a key where the focus is."""
        codes = {"Enter": 13, "ArrowDown": 40, "ArrowUp": 38, "/": 191}
        keys = {
            "key": key,
            "windowsVirtualKeyCode": codes.get(key, 0),
            "text": text or ("\r" if key == "Enter" else ""),
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes.get(key, 0))

    def emulate(self, **features: str) -> None:
        """Sets media features, such as prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=wanted)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has gone away"
            self._buffer += read
        line, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        if method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        if method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.errors.append(str(parameters["args"]))


@contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """A page of a browser that ends with the block."""
    to_read, to_browser = os.pipe()
    from_browser, from_write = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [BINARY, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", _WITH_PIPES, str(to_read), str(from_write), *command],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        page = Page(process, to_browser, from_browser)
        try:
            page.start(width, height)
            yield page
        finally:
            process.kill()
            process.wait()
            os.close(to_browser)
            os.close(from_browser)
