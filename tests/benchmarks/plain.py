"""A Flask app that imports nothing but Flask: what the memory of a worker is measured against."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

app = Flask("plain")


@app.post("/")
def view() -> Response:
    """Answer as the language model does."""
    request.get_json(force=True)
    return jsonify(version="1.4.2", language="en", confidence=0.98, error="")
