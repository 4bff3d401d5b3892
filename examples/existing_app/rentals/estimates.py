"""The endpoints: what a flat should cost, learned from the flats of the site."""

from __future__ import annotations

from flask import abort

from flask_modelserve import InvalidRequest, ModelServe

from . import api
from .flats import FLATS
from .model import RentModel

serve = ModelServe()
model = RentModel.fit(FLATS.values())


@serve.endpoint("/estimate", methods=["GET"], cache=300, example={"square_metres": 70, "rooms": 3})
def estimate(
    square_metres: float, rooms: int, floor: int = 0, *, balcony: bool = False
) -> dict[str, int]:
    if not (10 <= square_metres <= 500 and 1 <= rooms <= 20 and 0 <= floor <= 50):
        raise InvalidRequest("Flats have 10 to 500 m², 1 to 20 rooms, and a floor from 0 to 50.")
    return {"rent": round(model.rent(square_metres, rooms, floor, balcony=balcony))}


@serve.endpoint("/flats/<int:flat_id>/verdict", methods=["GET"], blueprint=api.blueprint)
def verdict(flat_id: int) -> dict[str, object]:
    flat = FLATS.get(flat_id) or abort(404)
    usual = model.rent(flat.square_metres, flat.rooms, flat.floor, balcony=flat.balcony)
    return {"rent": flat.rent, "usual": round(usual), "fair": flat.rent < 1.05 * usual}
