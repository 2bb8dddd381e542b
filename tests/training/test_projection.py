"""Principal components: against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from headstart.training.projection import principal_components


@pytest.mark.parametrize("shape", [(20, 5), (3, 8), (4, 2)])
def test_the_plane_is_scikit_learn_s(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape)
    points, shares = principal_components(vectors)
    peer = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(points), np.abs(peer.transform(vectors)), atol=1e-10)
    np.testing.assert_allclose(shares, peer.explained_variance_ratio_, rtol=1e-10)
    assert (points[np.abs(points).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize("shape", [(1, 3), (5, 1)])
def test_missing_coordinates_are_0(shape: tuple[int, int]) -> None:
    points, shares = principal_components(np.random.default_rng(0).normal(size=shape))
    assert points.shape == (shape[0], 2) and (points[:, 1] == 0).all() and shares[1] == 0
