from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from gunicorn.util import import_app

from .documents import Request, alike, commands
from .serving import fetch, served

if TYPE_CHECKING:
    from flask.testing import FlaskClient

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDERS = sorted(readme.parent for readme in EXAMPLES.glob("*/README.md"))
KEY = {"X-API-Key": "key-of-the-partner"}

each_example = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def client_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Make the app that an example's gunicorn line serves."""
    monkeypatch.syspath_prepend(folder)
    [(command, _)] = commands(folder / "README.md", "gunicorn")
    return import_app(shlex.split(command)[-1]).test_client()


@pytest.fixture
def language(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return client_of(EXAMPLES / "language", monkeypatch)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return client_of(EXAMPLES / "digits", monkeypatch)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return client_of(EXAMPLES / "deploy", monkeypatch)


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return client_of(EXAMPLES / "stream", monkeypatch)


@pytest.fixture
def rentals(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    return client_of(EXAMPLES / "existing_app", monkeypatch)


@each_example
def test_curl_lines_show_what_comes_back(folder, monkeypatch):
    """Each curl line of an example's README prints what the README says."""
    client = client_of(folder, monkeypatch)
    lines = commands(folder / "README.md", "curl")
    for command, output in lines:
        request = Request.of(command)
        answer = client.open(
            request.path, method=request.method, headers=request.headers, data=request.data
        )
        assert alike(answer.text.strip()) == alike(output), command
    assert lines


@each_example
def test_served_as_documented(folder):
    """Each example runs under gunicorn by its README's line, answers there, and stops cleanly."""
    [(command, _)] = commands(folder / "README.md", "gunicorn")
    with served(command, folder) as address:
        for line, output in commands(folder / "README.md", "curl"):
            assert alike(fetch(address, Request.of(line)).strip()) == alike(output), line
        assert fetch(address, Request("GET", "/__ping", {}, None)).strip() == '{"status":"ok"}'


def test_language_generated_module_is_current(language, tmp_path):
    """The language example's generated module is that of its .proto."""
    pytest.importorskip("grpc_tools")
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    folder, compiled = EXAMPLES / "language", tmp_path / "set"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}"]
    subprocess.run([*protoc, f"--descriptor_set_out={compiled}", "language.proto"], check=True)
    [described] = FileDescriptorSet.FromString(compiled.read_bytes()).file
    for field in described.message_type:
        for member in field.field:
            member.ClearField("json_name")  # generated modules leave it out
    module = importlib.import_module("language_pb2")
    assert described.SerializeToString() == module.DESCRIPTOR.serialized_pb


def test_language_body_comes_before_the_extracted_one(language):
    """The extracted body counts only where the article has none of its own."""
    extracted = {"extracted": {"value": {"body": "Guten Morgen, wie geht es dir?"}}}
    own = language.post("/", json={"body": "le monde est beau", "enrichments": extracted})
    none = language.post("/", json={"body": "", "enrichments": extracted})
    assert (own.json["language"], none.json["language"]) == ("fr", "de")


@pytest.mark.parametrize(
    "article",
    [{}, {"id": "7"}, {"body": " "}, {"enrichments": None}, {"enrichments": {"extracted": {}}}],
)
def test_language_article_without_text(language, article):
    """An article without any text is refused, and the client is told what to send."""
    answer = language.post("/", json=article)
    assert answer.status_code == 400
    assert "enrichments.extracted.value.body" in answer.json["detail"]


def test_language_protobuf(language):
    """The language example speaks protobuf as well, by the same generated module."""
    messages = importlib.import_module("language_pb2")
    answer = language.post(
        "/",
        data=messages.Request(body="le monde est beau").SerializeToString(),
        headers={"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"},
    )
    response = messages.Response.FromString(answer.data)
    assert (response.language, response.version) == ("fr", answer.headers["X-Model-Version"])
    assert 0.5 < response.confidence <= 1


def test_language_is_cached(language):
    """The same article again is answered without the model."""
    article = {"title": "A title seen twice"}
    first, second = (language.post("/", json=article) for _ in range(2))
    assert first.json == second.json
    assert [" hit" in each.headers["Cache-Status"] for each in (first, second)] == [False, True]


def test_rentals_pages(rentals):
    """The pages of the existing app are what they are without endpoints."""
    index = rentals.get("/")
    assert (index.status_code, index.mimetype) == (200, "text/html")
    assert index.text.count("<li>") == 200
    assert "Flat 7: 5 rooms" in rentals.get("/flats/7").text


@pytest.mark.parametrize("path", ["/flats/700", "/nothing", "/api/nothing"])
def test_rentals_404_page(rentals, path):
    """A page that does not exist is still answered by the app's own HTML."""
    answer = rentals.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such page." in answer.text


def test_rentals_404_page_wins_for_endpoints(rentals):
    """The app's own 404 page also answers a 404 that an endpoint raises."""
    answer = rentals.get("/api/flats/700/verdict", headers=KEY)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


@pytest.mark.parametrize("path", ["/api/flats", "/api/flats/16/verdict"])
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "a guess"}])
def test_rentals_key_is_asked_for(rentals, path, headers):
    """A request under /api without a valid key is 401, at an endpoint as at the app's own route."""
    answer = rentals.get(path, headers=headers)
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers


def test_rentals_key_opens(rentals):
    """With a key, the API's own route and the endpoint on its blueprint answer."""
    flats = rentals.get("/api/flats", headers=KEY).json
    verdict = rentals.get("/api/flats/16/verdict", headers=KEY).json
    assert verdict["rent"] == flats[15]["rent"]
    assert verdict["fair"] is False


def test_rentals_key_by_environment(monkeypatch):
    """The app's own configuration by the environment goes on working."""
    monkeypatch.setenv("RENTALS_API_KEYS", '{"another": "partner"}')
    client = client_of(EXAMPLES / "existing_app", monkeypatch)
    path = "/api/flats/16/verdict"
    assert client.get(path, headers=KEY).status_code == 401
    assert client.get(path, headers={"X-API-Key": "another"}).status_code == 200


def test_rentals_model_has_learned(rentals):
    """The estimate follows what the flats of the site cost."""

    def rent(**query) -> int:
        return rentals.get("/estimate", query_string=query).json["rent"]

    small, large = rent(square_metres=40, rooms=2), rent(square_metres=80, rooms=2)
    assert 8 * 40 < large - small < 11 * 40
    assert rent(square_metres=40, rooms=2, balcony="true") > small


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="nothing"),
        pytest.param("square_metres=70", id="no rooms"),
        pytest.param("square_metres=nan&rooms=3", id="NaN"),
        pytest.param("square_metres=70&rooms=3&roof=1", id="unknown"),
        pytest.param("square_metres=70&rooms=99", id="too many"),
        pytest.param(f"square_metres=70&rooms={'9' * 400}", id="400 digits"),
        pytest.param(f"square_metres=70&rooms={'9' * 5000}", id="5000 digits"),
    ],
)
def test_rentals_bad_query(rentals, query):
    """A query that makes no sense is a problem document with status 400."""
    answer = rentals.get(f"/estimate?{query}")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


def test_digits_are_read(digits):
    """Nine of ten digits that the forest has not seen are read rightly, batched or not."""
    module = importlib.import_module("digits")
    images, shown = module.load_digits(return_X_y=True)
    unseen = slice(module.LEARNED, module.LEARNED + 100)
    questions = [{"pixels": image.tolist()} for image in images[unseen]]
    read = [digits.post("/digit", json=question).json for question in questions]
    assert sum([answer["digit"] for answer in read] == shown[unseen]) >= 90
    assert read[:10] == [digits.post("/alone", json=question).json for question in questions[:10]]


def test_deployed_weights_read_digits(deployed):
    """Nine of ten digits that the deployed model has not learned from are read rightly."""
    train, service = map(importlib.import_module, ("train", "service"))
    images, shown = train.load_digits(return_X_y=True)
    answers = service.Digit()(images[train.LEARNED :].tolist())
    read = [answer["digit"] for answer in answers] == shown[train.LEARNED :]
    assert read.mean() > 0.9
    asked = deployed.post("/digit", json={"pixels": images[train.LEARNED].tolist()})
    assert asked.json == {**answers[0], "digit": int(answers[0]["digit"])}


def test_deployed_weights_are_those_of_train(deployed, tmp_path, monkeypatch):
    """The script makes the weights that are deployed, up to what rounding does."""
    train = importlib.import_module("train")
    monkeypatch.setattr(train, "WEIGHTS", tmp_path / "weights.csv")
    train.main()
    made, kept = (
        train.np.loadtxt(folder / "weights.csv", delimiter=",")
        for folder in (tmp_path, EXAMPLES / "deploy")
    )
    assert abs(made - kept).max() < 0.01


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param([], id="none"),
        pytest.param([0] * 63, id="too few"),
        pytest.param([0] * 65, id="too many"),
        pytest.param([17] + [0] * 63, id="too black"),
        pytest.param([0] * 63 + [-1], id="too white"),
        pytest.param(["dark"] * 64, id="no numbers"),
        pytest.param(None, id="null"),
    ],
)
@pytest.mark.parametrize("path", ["/digit", "/alone"])
def test_digits_bad_image(digits, path, pixels):
    """An image that is none is refused before the forest sees it."""
    answer = digits.post(path, json={"pixels": pixels})
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"].startswith("pixels")


def test_digits_throughput(tmp_path):
    """The script that shows what batching gains runs as documented, and draws its chart."""
    [(command, _)] = commands(EXAMPLES / "digits" / "README.md", "python")[1:]
    _, script, *options = shlex.split(command)
    chart = tmp_path / "throughput.svg"
    short = ["--connections", "8", "--seconds", "0.5", "--chart", str(chart)]
    done = subprocess.run(
        [sys.executable, script, *short, *options],
        cwd=EXAMPLES / "digits",
        env=os.environ | {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    rows = r"(/\w+) +([\d.]+) rows/s +p50 +([\d.]+) ms +p99 +([\d.]+) ms +(\d+)% right"
    shown = {path: list(map(float, figures)) for path, *figures in re.findall(rows, done.stdout)}
    assert shown.keys() == {"/digit", "/alone"}
    for rate, p50, p99, right in shown.values():
        assert rate > 0
        assert 0 < p50 <= p99
        assert right > 80
    assert "<svg" in chart.read_text("utf-8")
    assert "Traceback" not in done.stderr


def test_sentences_are_events(sentences):
    """What the page's EventSource gets are the same items, one event each."""
    query = {"text": "Le monde est beau. Wie geht es dir?"}
    lines = sentences.get("/sentences", query_string=query).text.splitlines()
    events = sentences.get(
        "/sentences", query_string=query, headers={"Accept": "text/event-stream"}
    )
    assert events.mimetype == "text/event-stream"
    assert [json.loads(line)["language"] for line in lines] == ["fr", "de"]
    assert events.text == "".join(f"data: {line}\n\n" for line in lines)


def test_sentences_page(sentences):
    """The page is an ordinary view of the app, and asks the endpoint."""
    with sentences.get("/") as page:
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert "new EventSource(`/sentences?" in page.text


def test_sentences_are_sent_as_they_are_known(sentences, monkeypatch):
    """The first sentence is sent before the others have been looked at."""
    module = importlib.import_module("sentences")
    model, seen = module.model, []

    def classify(sentence: str):
        seen.append(sentence)
        return model.classify(sentence)

    monkeypatch.setattr(module, "model", SimpleNamespace(classify=classify))
    answer = sentences.post("/sentences", json={"text": "One. Two. Three."}, buffered=False)
    assert json.loads(next(answer.iter_encoded()))["sentence"] == "One."
    assert len(seen) < 3
    answer.close()


@pytest.mark.parametrize("text", ["", " \n", None, 7])
def test_sentences_without_text(sentences, text):
    """A request without any text is refused."""
    answer = sentences.post("/sentences", json={"text": text})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
