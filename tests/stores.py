"""A store as Amazon's S3 is one, on this machine."""

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
        wait_for(self._answers)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
