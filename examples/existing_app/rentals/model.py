"""The trained model: a linear fit of rents, by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from .flats import Flat


@dataclass(frozen=True, slots=True)
class RentModel:
    weights: NDArray[np.floating[Any]]

    @classmethod
    def fit(cls, flats: Iterable[Flat]) -> RentModel:
        rows = [(1, f.square_metres, f.rooms, f.floor, f.balcony, f.rent) for f in flats]
        table = np.array(rows, dtype=np.float64)
        weights, *_ = np.linalg.lstsq(table[:, :-1], table[:, -1])
        return cls(weights)

    def rent(self, square_metres: float, rooms: int, floor: int, *, balcony: bool) -> float:
        """Return the monthly rent, in euros, that flats of this kind have."""
        return float(self.weights @ (1, square_metres, rooms, floor, balcony))
