"""Where a model computes: on the device that was asked for, if it is there, and all of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import weightflow
from weightflow import Snapshots, WeightFlow
from weightflow.device import find_device
from weightflow.errors import InputError
from weightflow.experiment import ExperimentConfig

TINY = {
    "anchors": {"base_steps": 2, "steps": 2, "rounds": 1},
    "teacher": {"steps": 2, "rounds": 1},
    "bridge": {"drift_steps": 2},
    "training": {"epochs": 2, "collocation_steps": 2, "rollout_steps": 1, "rounds": 1},
}
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
TIMES = np.array([0.0, 0.5, 2.0])


def fitted(kind: str) -> WeightFlow:
    rng = np.random.default_rng(0)
    snapshots = Snapshots(np.arange(3.0), tuple(rng.poisson(3 + t, (30, 2)).astype(float) for t in range(3)))
    dynamics = {"kind": kind, "hidden": 8, "heads": 1, "steps": 4}
    return weightflow.fit(snapshots, ExperimentConfig.parse({**TINY, "dynamics": dynamics}))


def there(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch see some GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"GPU {i}")


def test_a_device_is_the_one_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    there(2, monkeypatch)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert find_device(name) == find_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "gpus", "says"),
    [
        ("gpu", 1, "device `gpu` is not known; give cpu, cuda, or cuda:N with the number of a GPU."),
        ("cuda:x", 1, "device `cuda:x` is not known"),
        ("cpu:0", 1, "device `cpu:0` is not known"),
        ("cuda:2", 2, "`cuda:2` is not there: torch sees cuda:0 (GPU 0), cuda:1 (GPU 1); give one of these, or cpu."),
        ("cuda", 0, "sees no GPU; give cpu."),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_line(
    name: str, gpus: int, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there(gpus, monkeypatch)
    with pytest.raises(InputError) as error:
        find_device(name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["ode", "cde", "direct"])
def test_all_of_a_model_moves(kind: str, tmp_path: Path) -> None:
    """The device `meta` has shapes without values, and refuses whatever was left behind on the CPU."""
    model = fitted(kind)
    model.save(tmp_path)
    moved = weightflow.load(tmp_path).path.to("meta")
    assert {tensor.device.type for tensor in (*moved.parameters(), *moved.buffers())} == {"meta"}
    with torch.no_grad():
        tokens = torch.zeros(model.weights(TIMES).shape, device="meta")
        draws = model.backbone.sample(tokens, torch.zeros(3, 5, 2, device="meta"))
        assert model.backbone.log_prob(tokens, draws).shape == (3, 5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_a_moved_model_gives_the_same_answers_on_the_cpu_and_leaves_the_first_where_it_was(
    device: str, tmp_path: Path
) -> None:
    model = fitted("ode")
    model.save(tmp_path)
    moved = weightflow.load(tmp_path, device=device)
    assert (model.to(device).device.type, model.device.type, moved.device.type) == (device, "cpu", device)
    x = model.sample(TIMES, 20)
    for ours, theirs in (
        (model.weights(TIMES), moved.weights(TIMES)),
        (model.log_prob(x, TIMES), moved.log_prob(x, TIMES)),
        (model.marginals(TIMES), moved.marginals(TIMES)),
        (x, moved.sample(TIMES, 20)),
    ):
        assert theirs.device.type == "cpu"
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
