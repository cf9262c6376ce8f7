"""Benchmarks run each task in a process of its own, which imports this module: nothing else may be imported here."""

import os

import common
import typer
from typer.testing import CliRunner


def square(key: str, of: int) -> list[common.Row]:
    if of == 2:
        raise ArithmeticError("two is not wanted")
    if of == 3:
        os._exit(1)  # as a process that is killed for its memory
    return [{"key": key, "square": of * of}]


def test_a_task_that_fails_or_is_killed_ends_no_other_and_is_run_again_alone(tmp_path, capfd):
    rows, tasks = tmp_path / "rows.csv", [{"key": str(of), "of": of} for of in (1, 2, 3, 4)]
    common.run_tasks(square, tasks, rows, cpus=2)
    assert sorted((row["key"], row["square"]) for row in common.read_rows(rows)) == [("1", "1"), ("4", "16")]
    said = capfd.readouterr().err
    assert "failed: 2: ArithmeticError: two is not wanted" in said
    assert "failed: 3" in said
    common.run_tasks(square, [*tasks, {"key": "5", "of": 5}], rows, cpus=2)
    assert sorted(row["key"] for row in common.read_rows(rows)) == ["1", "4", "5"]


def test_the_folder_of_results_is_there_before_the_work_begins(tmp_path):
    app, out = typer.Typer(), tmp_path / "not" / "there"

    @app.command()
    def work(out: common.Out = common.RESULTS) -> None:
        (out / "results.md").write_text("hours of work")

    assert CliRunner().invoke(app, ["--out", str(out)]).exit_code == 0
    assert (out / "results.md").read_text() == "hours of work"
