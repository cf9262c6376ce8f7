"""The folders of Rays whose search was killed go with the next search, and no others."""

import subprocess
import sys
from pathlib import Path

from weightflow.search.cluster import scratch
from weightflow.search.cluster.scratch import private_folder

HOLDS = """
import sys
from weightflow.search.cluster.scratch import private_folder
with private_folder(sys.argv[1]) as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_folder_goes_with_its_search_or_where_that_was_killed_with_the_next_one(tmp_path: Path, root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip()).parent
        assert left.parent == tmp_path
        with private_folder(str(tmp_path)) as folder:
            own = Path(folder).parent
            with private_folder(str(tmp_path)):
                assert own.is_dir()
            assert left.is_dir()  # its process lives
            killed.kill()
            killed.wait()
        assert [path.name for path in tmp_path.iterdir()] == [left.name]
    with private_folder(str(tmp_path)):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_others_made_or_whose_ray_still_runs_are_left(tmp_path: Path) -> None:
    unknown, used = tmp_path / "wf-unknown", tmp_path / "wf-used"
    unknown.mkdir()
    used.mkdir()
    (used / scratch.MARK).touch()
    words = [sys.executable, "-c", "import sys; sys.stdin.read()", f"--temp-dir={used}/r"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as ray:
        with private_folder(str(tmp_path)):
            assert used.is_dir()
        ray.kill()
    with private_folder(str(tmp_path)):
        assert not used.exists()
    assert unknown.is_dir()
