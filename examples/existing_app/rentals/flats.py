"""The flats of the site: drawn once, always the same, as a real site has them in a database."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flat:
    id: int
    square_metres: int
    rooms: int
    floor: int
    balcony: bool
    rent: int


def _draw(count: int) -> list[Flat]:
    chance = random.Random(11)
    flats = []
    for number in range(1, count + 1):
        square_metres = chance.randint(25, 120)
        rooms = max(1, round(square_metres / chance.uniform(22, 35)))
        floor = chance.randint(0, 5)
        balcony = chance.choice((True, False))
        fair = 180 + 9.5 * square_metres + 25 * rooms + 12 * floor + 60 * balcony
        rent = round(chance.gauss(fair, 45))
        flats.append(Flat(number, square_metres, rooms, floor, balcony, rent))
    return flats


FLATS = {flat.id: flat for flat in _draw(200)}
