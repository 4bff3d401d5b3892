"""Tells the language of each sentence of a text, one after the other, as soon as it is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Flask
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from flask_modelserve import InvalidRequest, ModelServe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Response

SENTENCE = re.compile(r"\S[^.!?…。]*[.!?…。]*")

app = Flask(__name__)
serve = ModelServe(app)
# norm_probs: confidences are probabilities, from 0 to 1.
model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@app.get("/")
def page() -> Response:
    return app.send_static_file("page.html")


# With GET too, since that is how a browser's EventSource asks.
@serve.endpoint("/sentences", methods=["GET", "POST"])
def sentences(text: str) -> Iterator[dict[str, Any]]:
    if not text.strip():
        raise InvalidRequest("The text is empty.")
    for sentence in SENTENCE.findall(text):
        language, confidence = model.classify(sentence)
        yield {
            "sentence": sentence.strip(),
            "language": language,
            "confidence": round(confidence, 3),
        }
