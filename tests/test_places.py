"""Data in an object store, and searches that are copied to one: a real server that speaks S3, with signed requests."""

import shutil
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from searches import Process, check_results, check_trials, command, free_port, furnish, tune_here, wait_for
from stores import SECRET, GoogleStore, Store
from typer.testing import CliRunner

import weightflow
from weightflow import places
from weightflow.cli import app
from weightflow.errors import InputError, SearchError
from weightflow.places import Place, is_uri, was_uri
from weightflow.search.folder import STUDY
from weightflow.search.home import Home, Mirror
from weightflow.search.study.reading import read_study

CELLS = "day,A,B\n0,1,2\n0,2,1\n1,3,3\n1,4,2\n2,5,2\n2,6,1\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Store, None, None]:
    store = Store(tmp_path_factory.mktemp("store") / "buckets", free_port())
    (store.folder / "lab").mkdir(parents=True)
    store.start()
    yield store
    store.stop()


@pytest.fixture
def lab(server: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a bucket that this process may use; what is cached lies in a folder of the test."""
    for name, value in {**server.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return server.folder / "lab"


@pytest.mark.parametrize(
    ("place", "found"),
    [("s3://lab/x.csv", True), ("gs://lab", True), ("C:/cells.csv", False), ("runs", False), (Path("runs"), False)],
)
def test_a_uri_is_told_from_a_path(place: str | Path, found: bool) -> None:
    assert is_uri(place) is found


def put(where: str, source: Path | str) -> None:
    """Put a file, or a text, into the bucket as anybody does: what is laid into the server's folder it may overlook."""
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(source.read_bytes() if isinstance(source, Path) else source.encode())
        Place.at(f"s3://lab/{where}").send(path)


@pytest.mark.parametrize("name", ["cells.csv", "cells.v2.csv.gz", "counts.npz", "cells.h5ad"])
def test_data_in_a_store_are_those_of_the_file(name: str, lab: Path, tmp_path: Path) -> None:
    here = tmp_path / name
    if name.endswith("npz"):
        np.savez(here, times=np.arange(3.0), trajectories=np.arange(24.0).reshape(4, 3, 2))
    elif name.endswith("h5ad"):
        import anndata
        import pandas as pd

        obs = pd.DataFrame({"day": [0, 0, 1, 1, 2, 2]}, index=[str(k) for k in range(6)])
        anndata.AnnData(np.arange(12.0).reshape(6, 2), obs=obs).write_h5ad(here)
    else:
        import pandas as pd

        (tmp_path / "plain").write_text(CELLS)
        pd.read_csv(tmp_path / "plain").to_csv(here, index=False)
    put(f"deep/er/{name}", here)
    uri = f"s3://lab/deep/er/{name}"
    far, near = weightflow.read(uri), weightflow.read(here)
    assert far.snapshots.digest() == near.snapshots.digest()
    assert (far.name, far.source, far.reading) == (near.name, uri, near.reading)


def test_commands_take_data_from_a_store(lab: Path, tmp_path: Path) -> None:
    put("cells.csv", CELLS)
    picture = str(tmp_path / "look.png")
    result = CliRunner().invoke(app, ["inspect", "s3://lab/cells.csv", "--no-measure", "--out", picture])
    assert result.exit_code == 0, result.output
    assert "3 times (day), with samples: 0 (2), 1 (2), 2 (2)" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("s3://lab/none.csv", r"`s3://lab/none.csv` is no file of that store"),
        ("s3://nobodys/cells.csv", r"`s3://nobodys/cells.csv` is no file of that store"),
        ("s3://lab/odd.xyz", r"`s3://lab/odd.xyz` ends in .xyz; known formats"),
        ("s3://lab/bad.csv", r"column `A` of `s3://lab/bad.csv` holds no numbers"),
        ("ftp://lab/cells.csv", r"write s3://BUCKET/PATH or gs://BUCKET/PATH"),
        ("s3:///cells.csv", r"write s3://BUCKET/PATH"),
    ],
)
def test_what_is_not_there_or_no_data_is_named_by_its_uri(uri: str, said: str, lab: Path) -> None:
    put("odd.xyz", "?")
    put("bad.csv", "day,A\n0,x\n")
    with pytest.raises(InputError, match=said) as caught:
        weightflow.read(uri)
    assert tempfile.gettempdir() not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "--data", "epidemic", "--out", "s3://lab/model"),
        ("forecast", "--model", "s3://lab/model", "--times", "1", "--out", "a.npy"),
        ("score", "--model", "gs://lab/model", "--data", "epidemic"),
        ("sync", "night", "--out", "s3://lab/runs"),
        ("inspect", "epidemic", "--out", "s3://lab/look.png"),
    ],
)
def test_a_uri_where_a_path_is_asked_for_makes_no_folder_of_that_name(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, InputError)
    assert "is a path of this machine" in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "uri", ["s3://name:hunter2@lab/cells.csv", "gs://anonymous:hunter2@lab/x.csv", "gs://anonymous@hunter2@lab/x.csv"]
)
def test_a_password_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InputError, match="put them into the environment") as caught:
        Place.at(uri)
    assert "hunter2" not in str(caught.value)


def test_keys_that_the_store_does_not_know_are_one_line(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHEROTHEROTHERO")
    with pytest.raises(InputError, match=r"^`s3://lab/cells.csv` cannot be used: .*") as caught:
        weightflow.read("s3://lab/cells.csv")
    assert "\n" not in str(caught.value)


def write(folder: Path, study: str, **others: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STUDY).write_text(study)
    for name, text in others.items():
        (folder / f"{name}.json").write_text(text)


def put_search(home: str, study: str) -> None:
    put(f"{home}/one/{STUDY}", study)
    put(f"{home}/one/scores.json", "{}")


@pytest.mark.parametrize(
    ("path", "found"), [("s3://lab/x", True), ("GS://lab", True), ("runs/a", False), ("/runs", False), ("C:/x", False)]
)
def test_a_path_that_was_a_uri_is_told_from_others(path: str, found: bool) -> None:
    assert was_uri(Path(path)) is found


def test_a_home_in_a_folder_is_that_folder(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "runs")
    assert (home.folder, home.place) == ((tmp_path / "runs").resolve(), None)
    home.begin("any")
    home.bring("any")
    with home.copied("any", pytest.fail):
        pass


def test_homes_of_different_uris_are_different_folders(lab: Path) -> None:
    uris = ["s3://lab/a/b", "s3://lab/a-b", "s3://lab/a", f"s3://lab/{'long' * 40}", f"s3://lab/{'long' * 41}"]
    folders = {Home.at(uri).folder for uri in uris}
    assert len(folders) == len(uris)
    assert Home.at("s3://lab/a/b").folder in folders


@pytest.mark.parametrize(
    ("here", "there", "kept"),
    [("", "1\n2\n", "1\n2\n"), ("1\n", "1\n2\n", "1\n2\n"), ("1\n2\n", "1\n", "1\n2\n"), ("1\n", "", "1\n")],
)
def test_a_search_goes_on_from_whichever_is_further(
    here: str, there: str, kept: str, lab: Path, tmp_path: Path
) -> None:
    home = Home.at(f"s3://lab/{tmp_path.name}")
    if there:
        put_search(tmp_path.name, there)
    if here:
        write(home.folder / "one", here)
    home.bring("one")
    assert (home.folder / "one" / STUDY).read_text() == kept
    assert (home.folder / "one" / "scores.json").is_file() == (kept == there)


def test_searches_that_went_on_apart_are_not_mixed(lab: Path, tmp_path: Path) -> None:
    home = Home.at(f"s3://lab/{tmp_path.name}")
    put_search(tmp_path.name, "1\n2\n")
    write(home.folder / "one", "1\n3\n")
    with pytest.raises(InputError, match="have gone on from one search apart from each other"):
        home.bring("one")
    assert (home.folder / "one" / STUDY).read_text() == "1\n3\n"
    assert (lab / tmp_path.name / "one" / STUDY).read_text() == "1\n2\n"


def test_a_search_that_is_nowhere_cannot_go_on_and_one_that_is_there_not_begin(lab: Path, tmp_path: Path) -> None:
    home = Home.at(f"s3://lab/{tmp_path.name}?region=us-east-1")
    with pytest.raises(InputError, match=rf"`s3://lab/{tmp_path.name}/one\?region=us-east-1` holds no search"):
        home.bring("one")
    home.begin("one")
    put_search(tmp_path.name, "1\n")
    with pytest.raises(InputError, match=r"exists already.*--resume one"):
        home.begin("one")


def test_what_changed_is_copied_and_nothing_else(lab: Path, tmp_path: Path) -> None:
    folder, far = tmp_path / "one", lab / tmp_path.name
    write(folder, "1\n", scores="{}")
    for private in (".lock", ".draft.part", "checkpoints/3.safetensors", "tune/tuner.pkl", "tune-1/tuner.pkl"):
        (folder / private).parent.mkdir(exist_ok=True)
        (folder / private).write_text("x")
    (folder / "best").mkdir()
    (folder / "best" / "config.json").write_text("{}")
    mirror = Mirror(folder, Place.at(f"s3://lab/{tmp_path.name}"))
    mirror.copy()
    assert mirror.place.listed() == {STUDY: 2, "scores.json": 2, "best/config.json": 2}
    before = (far / "scores.json").stat().st_mtime_ns
    (folder / STUDY).write_text("1\n2\n")
    mirror.copy()
    assert (far / STUDY).read_text() == "1\n2\n"
    assert (far / "scores.json").stat().st_mtime_ns == before


def test_a_search_that_fails_is_copied_as_far_as_it_came(lab: Path, tmp_path: Path) -> None:
    home = Home.at(f"s3://lab/{tmp_path.name}")

    def failing() -> None:
        with home.copied("one", lambda _: None):
            write(home.folder / "one", "1\n")
            raise SearchError("no trial finished")

    with pytest.raises(SearchError, match="no trial finished"):
        failing()
    assert (lab / tmp_path.name / "one" / STUDY).read_text() == "1\n"


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Generator[GoogleStore, None, None]:
    store = GoogleStore(tmp_path_factory.mktemp("google"), free_port())
    store.start()
    yield store
    store.stop()


def test_a_store_of_google_holds_data_and_searches_as_any_other(
    google: GoogleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cells.csv").write_text(CELLS)
    uri = google.uri("deep/cells.csv")
    Place.at(uri).send(tmp_path / "cells.csv")
    far, near = weightflow.read(uri), weightflow.read(tmp_path / "cells.csv")
    assert far.snapshots.digest() == near.snapshots.digest()
    assert (far.name, far.source) == ("cells", uri)
    for missing in (google.uri("none.csv"), uri.replace("@lab", "@nobodys")):
        with pytest.raises(InputError, match="is no file of that store"):
            weightflow.read(missing)

    home = Home.at(google.uri("team"))
    with home.copied("one", lambda _: None):
        write(home.folder / "one", "1\n", scores="{}")
    assert home.place is not None
    assert (home.place / "one").listed() == {STUDY: 2, "scores.json": 2}
    with pytest.raises(InputError, match="exists already"):
        home.begin("one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    other = Home.at(google.uri("team"))
    other.bring("one")
    assert (other.folder / "one" / STUDY).read_text() == "1\n"


def test_who_has_no_credentials_of_google_is_told_so_and_does_not_wait_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for name, value in {"HOME": str(tmp_path), "GCE_METADATA_ROOT": "127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "SECONDS", 1)
    with pytest.raises(
        InputError, match=r"^`gs://lab/cells.csv` cannot be used: no credentials of Google's were found"
    ):
        weightflow.read("gs://lab/cells.csv")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_lives_in_a_store_of_google(
    google: GoogleStore, tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder = furnish(tmp_path)
    environment = {**ray_environment, "XDG_CACHE_HOME": str(folder / "cache")}
    words = ("--out", google.uri("team"), "--trials", "1", "--time-budget", "1h")
    search = tune_here(folder, environment, *words, "--name", "far")
    assert search.returncode == 0, search.stderr
    again = tune_here(folder, {**environment, "XDG_CACHE_HOME": str(folder / "b")}, *words[:2], "--resume", "far")
    assert again.returncode == 0, again.stderr
    found = Home.at(google.uri("team"))
    found.bring("far")
    check_results(found.folder / "far")


@pytest.mark.slow
def test_a_store_that_is_away_is_told_of_once_and_gets_what_it_missed(server: Store, lab: Path, tmp_path: Path) -> None:
    folder, said, stop = tmp_path / "one", [], threading.Event()
    write(folder, "1\n")
    mirror = Mirror(folder, Place.at(f"s3://lab/{tmp_path.name}"))
    mirror.copy()
    server.stop()
    thread = threading.Thread(target=mirror.follow, args=(stop, said.append))
    thread.start()
    try:
        (folder / STUDY).write_text("1\n2\n")
        wait_for(lambda: said, 60)
        server.start()
        wait_for(lambda: len(said) > 1, 120)
    finally:
        stop.set()
        thread.join()
    assert "the search goes on, and is copied when the store is there again" in said[0]
    assert said[1:] == [f"s3://lab/{tmp_path.name} is there again, and has all that was missing"]
    assert (lab / tmp_path.name / STUDY).read_text() == "1\n2\n"


@pytest.mark.slow
def test_a_store_that_is_away_at_the_end_leaves_the_search_here_and_says_so(
    server: Store, lab: Path, tmp_path: Path
) -> None:
    home = Home.at(f"s3://lab/{tmp_path.name}")
    copied = home.copied("one", lambda _: None)
    copied.__enter__()
    write(home.folder / "one", "1\n")
    server.stop()
    with pytest.raises(SearchError, match=r"The search is whole in .*`--resume one` with the same `--out`"):
        copied.__exit__(None, None, None)
    server.start()
    assert (home.folder / "one" / STUDY).read_text() == "1\n"


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_search_in_a_store_is_whole_there_is_not_begun_twice_and_holds_no_secret(
    server: Store, lab: Path, tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder, data = furnish(tmp_path), "s3://lab/counts.npy"
    put("counts.npy", folder / "counts.npy")
    environment = {**ray_environment, **server.environment, "XDG_CACHE_HOME": str(folder / "cache")}
    words = ("--out", "s3://lab/team", "--name", "far", "--trials", "1", "--time-budget", "1h")
    search = tune_here(folder, environment, *words, data=data)
    assert search.returncode == 0, search.stderr
    assert "all of it is at s3://lab/team/far" in search.stdout
    check_results(lab / "team" / "far")
    check_trials(list(read_study(lab / "team" / "far")[1]), 1)
    again = tune_here(folder, {**environment, "XDG_CACHE_HOME": str(folder / "other")}, *words, data=data)
    assert again.returncode == 2
    assert "`s3://lab/team/far` exists already" in again.stderr
    left = [path for path in (*lab.rglob("*"), *folder.rglob("*")) if path.is_file()]
    assert not [path for path in left if SECRET.encode() in path.read_bytes()]
    assert SECRET not in search.stdout + search.stderr


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_whose_machine_is_lost_goes_on_from_the_store_to_the_same_scores(
    server: Store, lab: Path, tmp_path: Path, ray_environment: dict[str, str]
) -> None:
    folder, far = furnish(tmp_path), lab / "lost" / "one"
    how = ("--trials", "4", "--time-budget", "2h", "--sampler", "random", "--scheduler", "none")
    environment = {**ray_environment, **server.environment}
    words = command("--out", "s3://lab/lost", "--name", "one", *how, space="slow.yaml")
    process = Process(folder, {**environment, "XDG_CACHE_HOME": str(folder / "here")}, words)
    process.until(lambda: far.is_dir() and (far / STUDY).is_file() and b'"values"' in (far / STUDY).read_bytes())
    process.kill()
    shutil.rmtree(folder / "here")
    again = command("--out", "s3://lab/lost", "--resume", "one", *how, space="slow.yaml")
    code, _, errors = Process(folder, {**environment, "XDG_CACHE_HOME": str(folder / "other")}, again).end()
    assert code == 0, errors
    calm = tune_here(folder, environment, "--name", "calm", *how, space="slow.yaml")
    assert calm.returncode == 0, calm.stderr
    scores = [{t.number: t.score for t in read_study(at)[1]} for at in (far, folder / "out" / "calm")]
    check_trials(list(read_study(far)[1]), 4)
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
