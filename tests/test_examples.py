from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gunicorn.util import import_app

from .documents import Request, commands
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
        assert answer.text.strip() == output, command
    assert lines


@each_example
def test_served_as_documented(folder):
    """Each example runs under gunicorn by its README's line, answers there, and stops cleanly."""
    [(command, _)] = commands(folder / "README.md", "gunicorn")
    with served(command, folder) as address:
        for line, output in commands(folder / "README.md", "curl"):
            assert fetch(address, Request.of(line)).strip() == output, line
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
