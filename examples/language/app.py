"""Tells the language of a text, by the model that py3langid ships."""

from __future__ import annotations

from typing import Any

import language_pb2
from flask import Flask
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from flask_modelserve import InvalidRequest, ModelServe

VERSION = "1.0.0"

app = Flask(__name__)
serve = ModelServe(app)
# norm_probs: confidences are probabilities, from 0 to 1.
model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@serve.endpoint(
    "/",
    schema=language_pb2,
    cache=60,
    version=VERSION,
    example={"title": "Bonjour", "body": "le monde est beau"},
)
def detect(
    title: str = "", body: str = "", enrichments: dict[str, Any] | None = None
) -> dict[str, Any]:
    extracted = (enrichments or {}).get("extracted", {})
    text = f"{title} {body or extracted.get('value', {}).get('body', '')}".strip()
    if not text:
        raise InvalidRequest("Send a title, a body or enrichments.extracted.value.body.")
    language, confidence = model.classify(text)
    return {"version": VERSION, "language": language, "confidence": round(confidence, 4)}
