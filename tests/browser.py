"""A headless Chromium for tests: it opens pages, waits for what they show, and takes pictures.

It is spoken to by the DevTools protocol over two pipes (`--remote-debugging-pipe`), so that neither a port nor a
package is needed.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab. What its console says, beside notes, is kept in `complaints`."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._numbers, self._read = count(1), b""
        self.complaints: list[str] = []
        self._session = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def size(self, width: int, height: int) -> None:
        """Set the window's size, in CSS pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str, media: str = "") -> None:
        """Set the scheme that the reader prefers, light or dark, and the kind of media, its own or `print`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key: str, text: str = "") -> None:
        """Press a key and let it go."""
        code = {"Tab": 9, "Enter": 13}[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, selector: str, text: str) -> None:
        """Put a text into a field in the place of what is there, as somebody does who types it."""
        found = self.ask(f"(e => {{ e?.focus(); e?.select(); return !!e; }})(document.querySelector({selector!r}))")
        assert found, f"the page has no field {selector}"
        self._call("Input.insertText", text=text)

    def paper(self, number: int | None = None) -> bytes:
        """Return the page as it is printed on A4, a PDF; or one page of it, counted from 1."""
        some = {} if number is None else {"pageRanges": str(number)}
        wanted = {"preferCSSPageSize": True, "printBackground": False, **some}
        return base64.b64decode(self._call("Page.printToPDF", **wanted)["data"])

    def open(self, address: str, *shown: str) -> str:
        """Open a page from nothing, wait until it shows all the texts, and return its whole text."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)
        text = self.wait(*shown)
        while self.ask("document.readyState") != "complete":  # a long page shows its beginning before it has its end
            text = self.wait(*shown)
        return text

    def wait(self, *shown: str) -> str:
        """Wait until the page shows all the texts; returns its whole text."""
        deadline, text = time.monotonic() + PATIENCE, ""
        while time.monotonic() < deadline:
            text = str(self.ask("document.body ? document.body.innerText : ''") or "")
            plain = " ".join(text.split())  # pages put spaces of all kinds, and lines, between words
            if all(one in text or one in plain for one in shown):
                return text
            time.sleep(0.2)
        missing = [one for one in shown if one not in text and one not in " ".join(text.split())]
        raise AssertionError(f"the page never showed {missing}; it shows:\n{text}")

    def ask(self, expression: str) -> Any:
        """Return what a JavaScript expression is."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def picture(self, file: Path) -> None:
        """Save what the window shows."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        os.write(
            self._commands, json.dumps({"id": number, "method": method, "params": params, **session}).encode() + b"\0"
        )
        while True:
            message = self._message()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._hear(message.get("method", ""), message.get("params", {}))

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            read = os.read(self._answers, 1 << 16)
            assert read, "the browser has ended"
            self._read += read
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", {}).get("description", "")))
        elif event == "Log.entryAdded" and params["entry"]["level"] in {"warning", "error"}:
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in {"warning", "error"}:
            self.complaints.append(" ".join(str(one.get("value", "")) for one in params["args"]))


@contextmanager
def browsing(width: int = 1600, height: int = 900) -> Generator[Page]:
    """Start a browser of its own, with an empty profile, and end it; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on this machine ({', '.join(NAMES)})")
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(prefix="wf-browser-", ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        # the browser reads from 3 and writes to 4, whatever numbers the pipes have here
        redirect = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", found, *options, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            page = Page(commands, answers)
            page.size(width, height)
            yield page
        finally:
            os.close(commands)  # by which it ends
            os.close(answers)
            process.wait(20)
