"""The docs page: Swagger UI in a real browser, and the plain page where that is not installed."""

from __future__ import annotations

import re
import shlex
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from flask import Blueprint, Flask
from pydantic import BaseModel, Field
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_modelserve import ModelServe

from .browsers import chromium
from .documents import Request
from .serving import listening


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def _try_out(browser, body: str | None = None) -> str:
    """Open the first operation of the page, execute it, and return the answer that is shown."""
    browser.wait_for(".opblock-summary-control").click()
    browser.wait_for(".try-out__btn").click()
    if body is not None:
        form = browser.wait_for("textarea.body-param__text")
        browser.driver.execute_script("arguments[0].select()", form)
        form.send_keys(body)
    browser.wait_for(".btn.execute").click()
    return browser.wait_for(".live-responses-table .response-col_description .highlight-code").text


def test_a_person_tries_the_language_endpoint(browser, language):
    """Chromium opens the page, fills in a French text, and sees fr; nothing leaves loopback."""
    with listening(language) as address:
        browser.open(f"{address}/__docs")
        shown = _try_out(browser, '{"title": "Bonjour", "body": "comment allez-vous ?"}')
        assert re.search(r'"language": "fr"', shown), shown
        assert browser.complaints() == []
        assert all(url.startswith((address, "data:")) for url in browser.requested())


def _stripping(app, prefix: str):
    """Stand for a proxy that takes a prefix off the path, and tells nobody."""

    def proxied(environ, start_response):
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return app(environ, start_response)

    return proxied


def _forwarding(app, prefix: str):
    """Stand for a proxy that takes a prefix off the path, and sends X-Forwarded-Prefix."""
    stripped = _stripping(ProxyFix(app, x_prefix=1), prefix)

    def proxied(environ, start_response):
        environ["HTTP_X_FORWARDED_PREFIX"] = prefix
        return stripped(environ, start_response)

    return proxied


def _mounting(app, prefix: str):
    return DispatcherMiddleware(Flask("other"), {prefix: app})


@pytest.mark.parametrize("proxy", [_stripping, _forwarding, _mounting])
def test_the_page_works_behind_a_prefix(browser, proxy):
    """Whoever adds a prefix, and whether or not the app knows: page, files and requests find it."""
    app = Flask(__name__)
    app.config["MODELSERVE_DOCS_PATH"] = "/api/docs"
    app.config["MODELSERVE_OPENAPI_PATH"] = "/api/v1/openapi.json"

    @ModelServe(app).endpoint("/double", example={"number": 21})
    def double(number: int):
        return {"double": 2 * number}

    with listening(proxy(app, "/models")) as address:
        browser.open(f"{address}/models/api/docs")
        assert re.search(r'"double": 42', _try_out(browser))
        assert browser.complaints() == []
        assert f"{address}/models/double" in browser.requested()
        assert all(url.startswith((f"{address}/models/", "data:")) for url in browser.requested())


def test_the_page_names_every_address_relative_to_itself(client, serve):
    """Page, style, script and document are at addresses that hold behind any prefix."""
    page = client.get("/__docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href|data-document)="([^"]+)"', page.text)
    assert len(links) == 5
    for link in links:
        assert not link.startswith(("/", "http"))
        assert client.get(urljoin("/__docs", link)).status_code == 200, link


def test_the_policy_allows_no_script_but_files_of_our_own(client, serve):
    """A Content-Security-Policy forbids inline scripts, other hosts, and framing by others."""
    page = client.get("/__docs")
    policy = dict(
        rule.strip().split(" ", 1) for rule in page.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"
    assert not re.search(r"<script(?! src=)", page.text)


@pytest.mark.parametrize("path", ["/__docs", "/__docs/assets/swagger-ui-bundle.js"])
def test_what_a_browser_has_is_not_sent_again(client, serve, path):
    """Page and files have an ETag; a request that brings it gets 304."""
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Fstart.js", "__init__.py"])
def test_no_other_file_is_served(client, serve, name):
    """The page's files are those that it needs, and nothing else of any package."""
    assert client.get(f"/__docs/assets/{name}").status_code == 404


def test_the_page_can_be_moved_and_switched_off():
    """None switches the page off, also where there is no document for it to show."""
    for key, value, status in (
        ("MODELSERVE_DOCS_PATH", None, 404),
        ("MODELSERVE_OPENAPI_PATH", None, 404),
        ("MODELSERVE_DOCS_PATH", "/docs/", 404),
    ):
        app = Flask(__name__)
        app.config[key] = value
        ModelServe(app)
        client = app.test_client()
        assert client.get("/__docs").status_code == status
    assert client.get("/docs/").status_code == 200
    assert client.get("/docs/assets/start.js").status_code == 200


class Cells(HTMLParser):
    """Collects the texts of a page by the elements they are in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "link"}:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self._open.remove(tag)

    def handle_data(self, data):
        for tag in self._open:
            self.texts[tag][-1] += data


@pytest.fixture
def without_swagger(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which the extra is not installed."""
    monkeypatch.setitem(sys.modules, "flask_swagger_ui", None)


def test_without_the_extra_a_plain_page_lists_the_endpoints(without_swagger, app, serve, client):
    """It shows each endpoint's fields, and says how to get the full page."""

    class Flat(BaseModel):
        square_metres: float = Field(gt=0, description="Within the walls.")
        rooms: int = 1

    @serve.endpoint("/rent", schema=Flat, example={"square_metres": 70})
    def rent(square_metres, rooms=1):
        """Tell the rent of a flat."""
        return 9.5 * square_metres

    page = Cells(client.get("/__docs").text)
    assert page.texts["h2"] == ["POST /rent"]
    assert page.texts["td"] == [
        *("square_metres", "number", "required; Within the walls."),
        *("rooms", "integer", "default 1"),
    ]
    assert "Tell the rent of a flat." in page.texts["p"]
    assert "pip install 'flask-modelserve[docs]'" in page.texts["p"][0]


def test_the_curl_lines_of_the_plain_page_work(without_swagger, language, monkeypatch):
    """Each line can be pasted into a shell, and gets an answer: of examples, and without."""
    serve = ModelServe(language)

    @serve.endpoint("/flats/<int:flat_id>/<name>", methods=["GET"])
    def flat(flat_id: int, name, rooms: list[int], *, balcony: bool, floor=0):
        return {"flat": flat_id, "name": name, "rooms": rooms, "balcony": balcony}

    @serve.endpoint("/nothing")
    def nothing():
        return {}

    class Part(BaseModel):
        score: float
        label: str | None

    class Whole(BaseModel):
        parts: list[Part] = Field(min_length=2)
        best: Part

    @serve.endpoint("/whole", schema=Whole)
    def whole(parts, best):
        return {}

    client = language.test_client()
    lines = Cells(client.get("/__docs").text).texts["pre"]
    assert len(lines) == 4
    for line in lines:
        assert shlex.split(line)[0] == "curl"
        known = line.replace("-X POST", "-d ''").replace("http://localhost", "localhost")
        sent = Request.of(known)
        answer = client.open(sent.path, method=sent.method, headers=sent.headers, data=sent.data)
        assert answer.status_code == 200, (line, answer.text)


NASTY = """<script>alert("1")</script> ' & \u202e \U0001f600"""


def test_the_plain_page_escapes_what_it_shows(without_swagger):
    """No text of the app becomes markup, or leaves the quotes of a curl line."""
    app = Flask(__name__)
    app.config["MODELSERVE_OPENAPI_INFO"] = {"title": NASTY}
    nasty = Blueprint("nasty", __name__)
    serve = ModelServe(app)

    @serve.endpoint('/\'<any("<b>"):kind>', blueprint=nasty, example={"kind": "<b>", "text": NASTY})
    def shown(kind, text: str = NASTY):
        return text

    shown.__doc__ = None
    app.register_blueprint(nasty)
    page = app.test_client().get("/__docs").text
    assert "<script" not in page
    assert "<b>" not in page
    cells = Cells(page)
    assert cells.texts["h1"] == [NASTY]
    [line] = cells.texts["pre"]
    assert NASTY in shlex.split(line)[2].replace('\\"', '"')


def test_an_app_without_endpoints_has_a_page(without_swagger, client, serve):
    """The plain page says that there are none yet."""
    assert "There are no endpoints yet." in client.get("/__docs").text
