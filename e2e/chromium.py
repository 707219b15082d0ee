"""A browser without a window: a page is opened, looked at, clicked on.

Speaks the DevTools protocol over two pipes (--remote-debugging-pipe): JSON messages that end in a
zero byte, one answer for each request, events between them.
"""

import base64
import fcntl
import functools
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
# One core may be all there is, and others want it too.
PATIENCE = float(os.environ.get("SKYWIRE_E2E_PATIENCE", "30"))


def program() -> str | None:
    """The browser that is installed, if there is one."""
    named = os.environ.get("SKYWIRE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, PROGRAMS)), None)


@functools.cache
def why_not() -> str | None:
    """Why no browser can be had here: none is installed, or the one that is does not start."""
    if program() is None:
        return "no chromium is installed (tools/setup.sh)"
    try:
        Chromium().close()
    except (PageError, OSError) as error:
        return f"{program()} does not start here: {error}"
    return None


class PageError(Exception):
    """What a script of the page threw, or a request that the browser refused."""


class Chromium:
    """One browser with one page. `with Chromium() as page: page.open(url)`."""

    def __init__(self, width: int = 1280, height: int = 800, dark: bool = False):
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # What the page logged or threw: a test looks at it.
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._events: list[dict] = []
        command = [
            program(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
            "--disable-component-update", "--disable-sync", "--mute-audio",
            f"--user-data-dir={self._folder.name}", f"--window-size={width},{height}",
            "--remote-debugging-pipe", "about:blank",
        ]

        def take_pipes():
            # The browser reads from 3 and writes to 4; the copies are out of the way of both.
            read, write = (fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (to_browser, from_browser))
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self._said, close_fds=False, preexec_fn=take_pipes,
        )
        os.close(from_browser)
        os.close(to_browser)
        targets = self.send("Target.getTargets", session=None)["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = self.send("Target.attachToTarget", session=None, targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        if dark:
            self.send("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)
        self._said.close()
        try:
            self._folder.cleanup()
        except OSError:
            # Its helpers write until they notice.
            shutil.rmtree(self._folder.name, ignore_errors=True)

    # The protocol.

    def send(self, method: str, session: str | None = "own", **params) -> dict:
        """One request, and its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session == "own":
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data):]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._message(deadline)
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise PageError(f"{method}: {answer['error']['message']}")
            return answer["result"]

    def _message(self, deadline: float) -> dict:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise PageError(f"the browser has ended: {self._last_words()}")
            self._buffer += data
        text, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(text)
        self._note(message)
        return message

    def _last_words(self) -> str:
        code = self._process.wait(PATIENCE)
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return f"exit {code}: {' '.join(said[-3:])}"

    def _note(self, message: dict):
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(" ".join(str(each.get("value")) for each in params["args"]))

    # The page.

    def open(self, url: str):
        self.send("Page.navigate", url=url)
        self.wait(f"document.URL.startsWith({json.dumps(url)}) && document.readyState == 'complete'")

    def value(self, expression: str):
        """What it evaluates to, a promise's value too."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait(self, expression: str, patience: float = PATIENCE):
        """Until it is true; what it then is."""
        deadline = time.monotonic() + patience
        while True:
            value = self.value(expression)
            if value:
                return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"never came true: {expression}; {self.complaints}")
            self.value("new Promise(resolve => requestAnimationFrame(resolve))")

    def type_text(self, selector: str, text: str):
        """Into an input, with the key Enter at the end."""
        self.value(f"(e => {{ e.focus(); e.value = ''; }})(document.querySelector({json.dumps(selector)}))")
        self.send("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter",
                      windowsVirtualKeyCode=13, text="\r")

    def mouse(self, kind: str, x: float, y: float, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float):
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        """A PNG of what is seen."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def cpu_seconds(self) -> float:
        """What all of the browser's processes have used."""
        parents, used = {}, {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            used[int(name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid, seconds in used.items():
            at = pid
            while at and at != self._process.pid:
                at = parents.get(at, 0)
            if at:
                total += seconds
        return total
