"""Projections: the anchors become a few numbers each, the knots of the control path (Li et al. 2026, section "Path").

All four are deterministic, orientation included: each channel grows with the order of the anchors, on the whole.
Those that need scikit-learn import it: that takes 1 s, and without a control path nothing is projected.
"""

from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from torch import nn

from weightflow.errors import InputError
from weightflow.torch_rng import seeded


class Projection(StrEnum):
    """How flattened anchors become `z_dim` numbers.

    `pca` keeps their variance, `mds` their distances, `isomap` their distances along the neighbour graph, and
    `autoencoder` what a small network needs to rebuild them.
    """

    PCA = "pca"
    AUTOENCODER = "autoencoder"
    MDS = "mds"
    ISOMAP = "isomap"


def project(
    tokens: Float[np.ndarray, "anchor token width"], z_dim: int, projection: Projection, seed: int, neighbours: int = 3
) -> Float[np.ndarray, "anchor z"]:
    """Project flattened anchors to `z_dim` numbers, centred and of unit overall scale.

    Args:
        tokens: the anchors, in the order of their times.
        z_dim: numbers for each anchor.
        projection: the method.
        seed: rules the autoencoder's first weights; the other methods draw nothing.
        neighbours: nearest anchors that Isomap joins each anchor to.

    Raises:
        InputError: more numbers are asked for than there are anchors less one, or Isomap's graph cannot be built.
    """
    if z_dim > len(tokens) - 1:
        raise InputError(
            f"`z_dim`={z_dim} needs at least {z_dim + 1} anchors and there are {len(tokens)}; lower `dynamics.z_dim`."
        )
    flat = tokens.reshape(len(tokens), -1).astype(np.float64)
    flat = flat - flat.mean(0)
    match projection:
        case Projection.PCA:
            z = _pca(flat, z_dim)
        case Projection.MDS:
            z = _mds(flat, z_dim)
        case Projection.ISOMAP:
            z = _isomap(flat, z_dim, neighbours)
        case Projection.AUTOENCODER:
            z = _autoencoder(flat, z_dim, seed)
    z = z - z.mean(0)
    z = z / max(float(z.std()), 1e-12)
    return (z * _orientation(z)).astype(np.float32)


def _orientation(z: Float[np.ndarray, "anchor z"]) -> Float[np.ndarray, "z"]:
    """Signs that make each channel grow with the anchors' order, or, where it does neither, its largest value positive.

    The methods leave the sign open, and linear algebra libraries choose differently.
    """
    order = np.arange(len(z)) - (len(z) - 1) / 2
    trend = order @ z
    largest = np.take_along_axis(z, np.abs(z).argmax(0)[None], 0)[0]
    undecided = np.abs(trend) < 1e-6 * np.abs(order).sum()
    return np.where(np.where(undecided, largest, trend) < 0, -1.0, 1.0)


def _pca(flat: np.ndarray, z_dim: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(z_dim, svd_solver="full").fit_transform(flat)


def _mds(flat: np.ndarray, z_dim: int) -> np.ndarray:
    """Metric scaling by stress majorisation (SMACOF), started from the principal components.

    They are classical scaling; a random start would often end with anchors out of order, in one dimension above all.
    """
    from sklearn.manifold import smacof

    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    z, _ = smacof(distances, n_components=z_dim, init=_pca(flat, z_dim), n_init=1, normalized_stress=False)
    return z


def _isomap(flat: np.ndarray, z_dim: int, neighbours: int) -> np.ndarray:
    from sklearn.manifold import Isomap
    from sklearn.neighbors import kneighbors_graph

    if neighbours > len(flat) - 1:
        raise InputError(
            f"isomap with `neighbours`={neighbours} needs at least {neighbours + 1} anchors and there are {len(flat)}; "
            "lower `dynamics.neighbours`, or take `dynamics.projection`=pca."
        )
    parts, _ = connected_components(kneighbors_graph(flat, neighbours), directed=False)
    if parts > 1:
        raise InputError(
            f"isomap with `neighbours`={neighbours} leaves the {len(flat)} anchors in {parts} separate groups; raise "
            "`dynamics.neighbours`, or take `dynamics.projection`=pca."
        )
    return Isomap(n_neighbors=neighbours, n_components=z_dim, eigen_solver="dense").fit_transform(flat)


def _autoencoder(flat: np.ndarray, z_dim: int, seed: int) -> np.ndarray:
    """Train a small autoencoder on the flattened anchors, as the paper does, and return its codes."""
    x = torch.as_tensor(flat / max(float(flat.std()), 1e-12), dtype=torch.float32)
    with seeded(seed, "autoencoder"):
        encode = nn.Sequential(nn.Linear(x.shape[1], 32), nn.Tanh(), nn.Linear(32, z_dim))
        decode = nn.Sequential(nn.Linear(z_dim, 32), nn.Tanh(), nn.Linear(32, x.shape[1]))
    optimiser = torch.optim.Adam([*encode.parameters(), *decode.parameters()], 5e-3)
    for _ in range(500):
        loss = (decode(encode(x)) - x).pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encode(x).detach().numpy().astype(np.float64)
