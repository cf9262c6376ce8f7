"""Stores as Amazon's and Google's are, on this machine."""

import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from searches import wait_for

KEY, SECRET = "AKIATESTTESTTESTTEST", "verysecretverysecretverysecretverysecret"


@dataclass
class Store:
    """A server that keeps buckets as folders, and can be stopped and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        rclone = Path(sys.executable).with_name("rclone")
        words = ("serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}")
        words = (*words, str(self.folder))
        with (self.folder.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen([rclone, *words], stdout=log, stderr=log)
        wait_for(lambda: answers(self.port))

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


@dataclass
class GoogleStore:
    """A server that speaks as Google's store does, with a bucket `lab` that needs no credentials."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def uri(self, path: str) -> str:
        return f"gs://anonymous@lab/{path}?scheme=http&endpoint_override=127.0.0.1:{self.port}"

    def start(self) -> None:
        program = Path(sys.executable).with_name("gcp-storage-emulator")
        words = ("start", "--host", "127.0.0.1", "--port", str(self.port), "--default-bucket", "lab")
        with (self.folder / "google.log").open("wb") as log:
            self.process = subprocess.Popen([program, *words], cwd=self.folder, stdout=log, stderr=log)
        wait_for(lambda: answers(self.port))

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
