"""An even share of every body."""

from __future__ import annotations

import numpy as np

from ground_tools.foundation.sampling import even_share


def test_every_body_has_an_even_share() -> None:
    bodies = np.repeat(["a", "b", "c"], [100, 100, 4])
    places = even_share(bodies, 30)
    assert np.unique(bodies[places], return_counts=True)[1].tolist() == [13, 13, 4]
    assert places[0] == 0
    assert bodies[:100][places[places < 100]].size == 13
    assert places[places < 100][-1] == 99
    assert len(np.unique(places)) == 30
    assert even_share(bodies, 0).tolist() == even_share(bodies, 1000).tolist() == list(range(204))
    assert len(even_share(bodies, 1)) == 1
