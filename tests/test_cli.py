"""The command line: what an app serves, what will hurt it, and one request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Blueprint, Flask, abort, request
from flask.cli import ScriptInfo

from flask_modelserve import Batch, ModelServe
from flask_modelserve.cli import modelserve

from .protos.every_pb2 import Every, Stowaway
from .servers import free_port, redis


@pytest.fixture
def run(app):
    """Runs a command in this process, on the test's app."""

    def run(*arguments: str, data: bytes | None = None, code: int = 0, factory=lambda: app):
        result = CliRunner().invoke(
            modelserve,
            arguments,
            obj=ScriptInfo(create_app=factory),
            input=data,
            catch_exceptions=False,
        )
        assert result.exit_code == code, result.output
        return result

    return run


FACTORY = """
from flask import Flask
from flask_modelserve import ModelServe

serve = ModelServe()

@serve.endpoint("/double")
def double(number: int):
    return 2 * number

def create_app(name="app"):
    app = Flask(name)
    serve.init_app(app)
    return app
"""


@pytest.mark.parametrize("named", ["app", "app:create_app('other')", None])
def test_flask_finds_the_commands(tmp_path, named):
    """`flask modelserve` is there for every app, one of a factory too."""
    (tmp_path / "app.py").write_text(FACTORY, "utf-8")
    app = [] if named is None else ["--app", named]
    done = subprocess.run(
        [sys.executable, "-m", "flask", *app, "modelserve", "call", "/double", "number=21"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "42\n"


def test_entry_point():
    """The commands cost nothing until somebody asks for them."""
    [found] = entry_points(group="flask.commands", name="modelserve")
    code = f"import flask_modelserve, sys; assert {found.module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert found.load() is modelserve


def test_endpoints(run, app, serve):
    """The table shows what each endpoint was declared with, at its whole rule."""
    api = Blueprint("api", __name__, url_prefix="/api")

    @serve.endpoint("/every", schema=Every, response_schema=Stowaway, cache=60, timeout=0.5)
    def every():
        """Is not called."""

    @serve.endpoint(
        "/rows/<int:n>", blueprint=api, batch=Batch(32, max_wait=0.01), max_queue=9, methods=["PUT"]
    )
    def rows(n, number):
        """Is not called."""

    app.register_blueprint(api)

    @serve.endpoint("/words", methods=["GET", "POST"], max_concurrency=4)
    def words():
        """Is not called."""

    header, rule, *lines = run("endpoints").stdout.splitlines()
    assert set(rule) == {"-", " "}
    names = ("Rule", "Methods", "Schema", "Answer", "Cache", "Batch", "Limits", "Endpoint")
    starts = [header.index(name) for name in names]
    cells = [
        [line[a:b].strip() for a, b in zip(starts, [*starts[1:], len(line) + 1], strict=True)]
        for line in lines
    ]
    assert cells == [
        ["/every", "POST", "Every", "Stowaway", "60 s", "-", "0.5 s", "every"],
        ["/api/rows/<int:n>", "PUT", "-", "-", "-", "32 in 0.01 s", "9 waiting", "api.rows"],
        ["/words", "GET, POST", "-", "-", "-", "-", "4 at once", "words"],
    ]


def test_apps_without_endpoints(run, serve):
    """An app without endpoints is said to have none, and one without ModelServe what it lacks."""
    assert run("endpoints").stdout == "The app has no endpoints.\n"
    told = run("endpoints", code=1, factory=lambda: Flask("bare")).stderr
    assert "write ModelServe(app)" in told


@pytest.fixture
def words(serve):
    """Endpoints of several kinds, each of which tells what it got."""

    @serve.endpoint("/words/<language>", methods=["GET"])
    def words(language, text, most: int = 9, unique: bool = False, tags: list[int] = ()):
        return [language, text, most, unique, list(tags)]

    @serve.endpoint("/rent")
    def rent(rooms: int, square_metres: float = 50.0, name: str = "", new: bool = False):
        return [rooms, square_metres, name, new]

    @serve.endpoint("/every", schema=Every)
    def every(an_int64=0, a_bool=None, many_string=(), an_every=None):
        return [an_int64, a_bool, list(many_string), an_every]

    @serve.endpoint("/count", methods=["GET"])
    def count(to: int):
        yield from range(to)

    @serve.endpoint("/errors")
    def errors(status: int):
        return 1 / 0 if status == 500 else abort(status)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["/words/<language>", "language=en", "text=a b"], '["en","a b",9,false,[]]'),
        (
            ["/words/é", "text=x&y=z", "most=3", "unique=true", "tags=1", "tags=2"],
            '["é","x&y=z",3,true,[1,2]]',
        ),
        (["words", "language=en", "text="], '["en","",9,false,[]]'),
        (["/rent", "rooms=2", "name=7", "new=true"], '[2,50.0,"7",true]'),
        (["/rent", "--json", '{"rooms": 3}'], '[3,50.0,"",false]'),
        (
            [
                "/every",
                "anInt64=9007199254740993",
                "a_bool=true",
                "manyString=a",
                "an_every.a_bool=true",
            ],
            '[9007199254740993,true,["a"],{"a_bool":true}]',
        ),
        (["/count", "to=2"], "0\n1"),
    ],
)
def test_call(run, words, arguments, answer):
    """Fields are typed by the endpoint, as in a query string, and fill in the URL's arguments."""
    assert run("call", *arguments).stdout == answer + "\n"


@pytest.mark.parametrize("arguments", [["-"], ["--json", "-"]])
def test_call_with_standard_input(run, words, arguments):
    """The input can come through a pipe."""
    assert run("call", "/rent", *arguments, data=b'{"rooms": 4}').stdout == '[4,50.0,"",false]\n'


@pytest.mark.parametrize(
    ("arguments", "output", "status"),
    [
        (["/rent", "rooms=x"], '"field": "rooms"', "400 BAD REQUEST"),
        (["/rent", "--json", "{}"], '"field": "rooms"', "400 BAD REQUEST"),
        (["/errors", "status=404"], '"Not Found"', "404 NOT FOUND"),
        (["/errors", "status=500"], '"Internal Server Error"', "500 INTERNAL"),
        (["/words/<language>", "text=a"], "lacks language", "400 BAD REQUEST"),
    ],
)
def test_call_that_fails(run, words, arguments, output, status):
    """The exit code tells whose fault it was, and the problem is what a client would get."""
    result = run("call", *arguments, code=int(status[0]))
    assert output in result.stdout
    assert status in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["/rant"], 1, "did you mean /rent?"),
        (["/nothing/like/it"], 1, "there are /words/<language>, /rent, /every"),
        (["/rent", "rooms"], 2, "write name=value"),
        (["/rent", "=2"], 2, "write name=value"),
        (["/rent", "rooms=2", "--json", "{}"], 2, "either fields or --json"),
        (["/rent", "-H", "X-User"], 2, "write 'Name: value'"),
        (["/count", "--json", "{}"], 2, "takes a query string"),
    ],
)
def test_call_that_can_not_be_made(run, words, arguments, code, text):
    """A mistake of who types gets a line that says what to type."""
    assert text in run("call", *arguments, code=code).stderr


@pytest.mark.parametrize(
    "arguments", [["/rent", "--json", '{"rooms": "\udcff"}'], ["/count", "number=\udcff"]]
)
def test_call_with_bytes_that_are_no_text(run, words, arguments):
    """What is not UTF-8 is sent as it was typed, and refused as by a client."""
    assert "400 BAD REQUEST" in run("call", *arguments, code=4).stderr


@pytest.mark.parametrize(("command", "out"), [(["openapi"], "{"), (["call", "/", "a=b"], '"b"\n')])
def test_prints_of_the_app(run, app, serve, command, out):
    """What the app prints stays out of what the command writes."""

    @serve.endpoint("/")
    def function(a):
        sys.stdout.write("hello\n")
        return a

    def create_app():
        sys.stdout.write("hello\n")
        return app

    result = run(*command, factory=create_app)
    assert result.stdout.startswith(out)
    assert "hello" not in result.stdout
    assert "hello" in result.stderr


def test_call_goes_through_the_app(run, app, serve):
    """Hooks of the app apply, and headers can be given to them."""

    @app.before_request
    def log_in():
        if request.headers.get("X-Key") != "secret":
            abort(401)

    @serve.endpoint("/")
    def function():
        return "in"

    run("call", "/", code=4)
    assert run("call", "/", "-H", "X-Key: secret").stdout == '"in"\n'


def test_call_of_a_subdomain(run):
    """An endpoint of a subdomain is asked there."""
    app = Flask(__name__, subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    api = Blueprint("api", __name__, subdomain="api")

    @ModelServe(app).endpoint("/who/<name>", methods=["GET"], blueprint=api)
    def who(name):
        return [name, request.host]

    app.register_blueprint(api)
    told = run("call", "/who/<name>", "name=ada", factory=lambda: app)
    assert told.stdout == '["ada","api.example.org"]\n'


def test_commands_leave_the_metrics_of_the_service_alone(tmp_path):
    """A command writes nothing into the folder in which the service's workers share metrics."""
    (tmp_path / "app.py").write_text(FACTORY, "utf-8")
    folder = tmp_path / "metrics"
    folder.mkdir()
    (tmp_path / "rows.jsonl").write_text('{"number": 1}\n', "utf-8")
    for command in (
        ["call", "/double", "number=2"],
        ["predict", "/double", "-i", "rows.jsonl", "-o", "answers.jsonl", "--workers", "2"],
    ):
        subprocess.run(
            [sys.executable, "-m", "flask", "modelserve", *command],
            cwd=tmp_path,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
            check=True,
        )
    assert list(folder.iterdir()) == []


@pytest.fixture
def recommended(app, tmp_path, monkeypatch):
    """An app and a deployment as the documents recommend them."""
    monkeypatch.chdir(tmp_path)
    for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "FLASK_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    (tmp_path / "gunicorn.conf.py").write_text(
        'worker_class = "gthread"\nworkers = 2\nthreads = 32\n', "utf-8"
    )
    serve = ModelServe(app)

    @serve.endpoint("/rows", batch=32, timeout=60, example={"number": 1})
    def rows(number: list[int]):
        """Is not called."""

    return serve


def test_nothing_to_find(run, app, recommended):
    """Nothing is found on the recommended set-up, with a cache that the workers share."""
    port = free_port()
    app.config |= {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": f"redis://127.0.0.1:{port}"}

    @recommended.endpoint("/kept", cache=60, example={"number": 1})
    def kept(number: int):
        """Is not called."""

    with redis(port):
        told = run("check").stdout
    assert told.endswith("Nothing found.\n")
    assert "2 gthread workers of 32 threads" in told
    told = run("check", code=1).stdout
    assert "cache of kept: RedisCache fails" in told
    assert "1 found." in told


ALONE = "rows: its batches have one row"
LATE = "rows: its timeout of 60 s is never reached"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", set()),
        ("--worker-class sync --threads 1", {ALONE, LATE}),
        ("-k sync --threads=1 -t 61", {ALONE}),
        ("-k gevent", set()),
        ("--reload", {"reload: "}),
        ("-e PROMETHEUS_MULTIPROC_DIR=nowhere", {"metrics: PROMETHEUS_MULTIPROC_DIR is nowhere"}),
        ("-c other.py", {ALONE, LATE}),
    ],
)
def test_faults_of_the_deployment(run, recommended, options, found):
    """Faults are found in gunicorn's settings, wherever gunicorn has them from."""
    Path("other.py").write_text('print("hello")\nworkers = 3\n', "utf-8")
    assert_found(run("check", *options.split(), code=1 if found else 0).stdout, found)


def test_settings_of_the_environment(run, recommended, monkeypatch):
    """Those of GUNICORN_CMD_ARGS count as well."""
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--worker-class sync --threads 1")
    assert_found(run("check", code=1).stdout, {ALONE, LATE})


def assert_found(told: str, found: set[str]) -> None:
    headings = [line for line in told.splitlines()[1:] if line[:1] not in {"", " "}]
    assert headings[-1] == (f"{len(found)} found." if found else "Nothing found.")
    assert len(headings) == len(found) + 1
    for text in found:
        assert any(heading.startswith(text) for heading in headings), text


def test_workers_share_no_metrics(run, recommended, monkeypatch):
    """Several workers need a folder to share metrics in; one does not."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    assert_found(run("check", code=1).stdout, {"metrics: each of the 2 workers"})
    assert_found(run("check", "--workers", "1").stdout, set())
    Path("made.py").write_text(
        "import atexit, os, shutil, tempfile\n"
        "workers, threads = 2, 32\n"
        "os.environ['PROMETHEUS_MULTIPROC_DIR'] = tempfile.mkdtemp()\n"
        "atexit.register(shutil.rmtree, os.environ['PROMETHEUS_MULTIPROC_DIR'])\n",
        "utf-8",
    )
    assert_found(run("check", "-c", "made.py").stdout, set())
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    Path("gunicorn.conf.py").write_text('threads = 32\nworker_class = "gthread"\n', "utf-8")
    assert_found(run("check", code=1).stdout, {"metrics: each of the 3 workers"})


def test_settings_that_gunicorn_refuses(run, recommended):
    """One is told what gunicorn says to them."""
    assert "--wrokers" in run("check", "--wrokers", "2", code=1).stderr
    Path("gunicorn.conf.py").write_text("workers = 'x'\n", "utf-8")
    assert "Invalid value for workers" in run("check", code=1).stderr


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"DEBUG": True}, {"debug: "}),
        ({"TESTING": True}, {"testing: "}),
        ({"PROPAGATE_EXCEPTIONS": True}, {"errors: PROPAGATE_EXCEPTIONS"}),
    ],
)
def test_faults_of_the_app(run, app, recommended, config, found):
    """Switches for development are found."""
    app.config |= config
    assert_found(run("check", code=1).stdout, found)


@pytest.mark.parametrize("kind", ["SimpleCache", "NullCache"])
@pytest.mark.filterwarnings("ignore:.*CACHE_TYPE is set to null:UserWarning")
def test_faults_of_caches(run, app, recommended, kind):
    """A cache that each worker has for itself is found, and one that keeps nothing."""
    app.config["CACHE_TYPE"] = kind

    @recommended.endpoint("/kept", cache=60, example={"number": 1})
    def kept(number: int):
        """Is not called."""

    assert_found(run("check", code=1).stdout, {f"cache of kept: {kind}"})
    if kind == "SimpleCache":
        assert_found(run("check", "--workers", "1").stdout, set())


def test_endpoints_without_example(run, recommended):
    """An endpoint that can't be warmed up is found."""

    @recommended.endpoint("/cold")
    def cold():
        """Is not called."""

    assert_found(run("check", code=1).stdout, {"cold: it has no example"})


def test_openapi(app, run, tmp_path):
    """`openapi` prints the document that the app serves, or writes it to a file."""
    ModelServe(app).endpoint("/double")(double)
    served = app.test_client().get("/__openapi.json").json
    assert json.loads(run("openapi").output) == served
    run("openapi", "--output", str(tmp_path / "openapi.json"))
    assert json.loads((tmp_path / "openapi.json").read_text()) == served


def test_openapi_without_the_extension(run):
    """An app without ModelServe is told so."""
    assert "write ModelServe(app)" in run("openapi", code=1).output


def double(number: int) -> int:
    """Double a number."""
    return 2 * number
