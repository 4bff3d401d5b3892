"""Bulk scoring: a file of rows through an endpoint, whatever happens on the way."""

from __future__ import annotations

import csv
import errno
import importlib.util
import io
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from flask import Blueprint, Flask, Response, abort, g, request, url_for
from flask.cli import ScriptInfo
from pydantic import BaseModel

from flask_modelserve import Batch, InvalidRequest, ModelServe
from flask_modelserve.bulk import formats, ledger, parquet, progress
from flask_modelserve.bulk.output import Output
from flask_modelserve.cli import modelserve

from .crowds import until
from .protos.every_pb2 import Every, Stowaway

ROOT = Path(__file__).parents[1]
BULK_APP = Path(__file__).with_name("bulk_app.py")


@pytest.fixture
def predict(app, tmp_path, monkeypatch):
    """Runs the command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, data: bytes | None = None, code: int = 0):
        result = CliRunner().invoke(
            modelserve,
            ["predict", *arguments],
            obj=ScriptInfo(create_app=lambda: app),
            input=data,
            catch_exceptions=False,
        )
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def double(serve):
    """An endpoint that checks its input, and remembers its batches."""
    batches: list[list[int]] = []

    @serve.endpoint("/double", batch=Batch(4))
    def double(number: list[int]):
        batches.append(number)
        return [ValueError(f"no {each}") if each < 0 else {"double": 2 * each} for each in number]

    return batches


def write_rows(rows, name="rows.jsonl"):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def read_lines(name):
    return [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]


def names():
    return sorted(path.name for path in Path.cwd().iterdir())


FILES = ("-i", "rows.jsonl", "-o", "answers.jsonl")


def test_rows_are_answered_in_order(predict, double):
    """Each row has its answer, in order, and the function gets whole batches."""
    write_rows({"number": n} for n in range(10))
    result = predict("/double", *FILES)
    assert read_lines("answers.jsonl") == [{"double": 2 * n} for n in range(10)]
    assert double == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert "10 answered" in result.stderr
    assert names() == ["answers.jsonl", "rows.jsonl"]


def test_bad_rows_go_to_a_file_of_their_own(predict, double, client):
    """Rows that fail have their line and the problem that a client would get; the rest goes on."""
    bodies = [b'{"number": 1}', b'{"number": "x"}', b"{", b"{}", b"[1]", b'{"number": 2, "a": 0}']
    Path("rows.jsonl").write_bytes(b"\n".join([*bodies, b'{"number": 3}']))
    result = predict("/double", *FILES, code=4)
    assert read_lines("answers.jsonl") == [{"double": 2}, {"double": 6}]
    errors = read_lines("answers.errors.jsonl")
    assert [error.pop("line") for error in errors] == [2, 3, 4, 5, 6]
    problems = [client.post("/double", data=body).json for body in bodies[1:]]
    assert [error | {"request_id": None} for error in errors] == [
        problem | {"request_id": None} for problem in problems
    ]
    assert "2 answered, 5 failed with 400" in result.stderr
    assert "answers.errors.jsonl" in result.stderr


def test_crash_of_a_row(predict, double, caplog):
    """A row that the function fails on spoils no other; its error is told to who runs it."""
    write_rows({"number": n} for n in (1, -2, 3, -4))
    predict("/double", *FILES, code=5)
    assert read_lines("answers.jsonl") == [{"double": 2}, {"double": 6}]
    errors = read_lines("answers.errors.jsonl")
    assert [(error["line"], error["status"]) for error in errors] == [(2, 500), (4, 500)]
    assert errors[0]["exception"] == "ValueError: no -2"
    assert len(caplog.records) == 1  # one traceback, not one a row


def raise_(error):
    raise error


def test_errors_of_the_function(predict, app, serve):
    """What the function refuses has its own status, and handlers of the app are asked."""
    outcomes = [
        lambda: abort(404),
        lambda: raise_(InvalidRequest("two", errors=[{"field": "number", "message": "is two"}])),
        lambda: raise_(KeyError("three")),
        lambda: ({"late": True}, 409),
        lambda: Response("<p>", mimetype="text/html"),
        lambda: Response('{\n "six": 6}\n', mimetype="application/json"),
        lambda: ({"seven": 7}, 201),
        lambda: raise_(IndexError("eight")),
    ]
    app.register_error_handler(KeyError, lambda error: ({"unknown": str(error)}, 422))
    app.register_error_handler(IndexError, lambda error: {"eight": str(error)})

    @serve.endpoint("/")
    def function(number):
        return outcomes[number]()

    write_rows({"number": n} for n in range(8))
    predict("/", *FILES, code=5)
    assert read_lines("answers.jsonl") == [{"six": 6}, {"seven": 7}, {"eight": "eight"}]
    errors = read_lines("answers.errors.jsonl")
    assert [error["status"] for error in errors] == [404, 400, 422, 409, 500]
    assert errors[1]["errors"] == [{"field": "number", "message": "is two"}]
    assert errors[2]["unknown"] == "'three'"
    assert "text/html" in errors[4]["exception"]


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.csv", "answers.parquet"])
def test_answers_that_are_no_json(predict, app, serve, name):
    """What a function or a handler of the app answers besides JSON is an error of its row alone."""
    outcomes = [
        lambda: Response("{oops", mimetype="application/json"),
        lambda: Response('{"nan": NaN}', mimetype="application/json"),
        lambda: Response("", mimetype="application/json"),
        lambda: raise_(KeyError("sorry")),
        lambda: {"four": 4},
    ]
    app.register_error_handler(KeyError, lambda error: "sorry")

    @serve.endpoint("/")
    def function(number):
        return outcomes[number]()

    write_rows({"number": n} for n in range(5))
    assert (
        "1 answered, 4 failed with 500"
        in predict("/", "-i", "rows.jsonl", "-o", name, code=5).stderr
    )
    errors = read_lines("answers.errors.jsonl")
    assert [error["line"] for error in errors] == [1, 2, 3, 4]
    assert all("JSON" in error["exception"] for error in errors)
    assert errors[3]["detail"] == "sorry"


def test_answers_are_checked(predict, serve):
    """An answer that breaks its schema is an error, which names the field."""

    @serve.endpoint("/", response_schema=Stowaway)
    def function(name):
        return {"name": name}

    write_rows([{"name": "ada"}, {"name": 5}])
    predict("/", *FILES, code=5)
    assert read_lines("answers.jsonl") == [{"name": "ada"}]
    [error] = read_lines("answers.errors.jsonl")
    assert "name" in error["exception"]


def test_cache_is_left_alone(predict, serve, client):
    """The function is called for every row, and no answer is kept."""
    calls = []

    @serve.endpoint("/", cache=60)
    def function(number):
        calls.append(number)
        return len(calls)

    assert client.post("/", json={"number": 1}).json == 1
    write_rows([{"number": 1}, {"number": 1}])
    predict("/", *FILES)
    assert read_lines("answers.jsonl") == [2, 3]
    assert client.post("/", json={"number": 1}).json == 1


def test_limits_of_requests_do_not_apply(predict, serve):
    """Nobody waits for a row: it is neither late nor one too many."""

    @serve.endpoint("/", timeout=0.001, max_concurrency=1, max_queue=0)
    def function(number):
        time.sleep(0.003)
        return number

    write_rows([{"number": n} for n in range(3)])
    predict("/", *FILES)
    assert read_lines("answers.jsonl") == [0, 1, 2]


def test_each_row_has_a_context(predict, app, serve):
    """A function finds a request as it is used to, with headers as given, and torn down after."""
    ended = []
    app.teardown_request(lambda _error: ended.append(g.number))

    @serve.endpoint("/")
    def function(number):
        assert "number" not in g
        g.number = number
        return [request.path, request.headers["X-User"]]

    write_rows([{"number": 1}, {"number": 2}])
    predict("/", *FILES, "-H", "X-User: ada")
    assert read_lines("answers.jsonl") == [["/", "ada"]] * 2
    assert ended == [1, 2]


def test_context_is_of_the_app_s_own_address(predict):
    """URLs are those of the app's server name, subdomain and root, as in ``call``."""
    app = Flask("placed", subdomain_matching=True)
    app.config |= {"SERVER_NAME": "example.org", "APPLICATION_ROOT": "/pre"}
    blueprint = Blueprint("api", __name__, subdomain="api")

    @ModelServe(app).endpoint("/here", blueprint=blueprint)
    def here():
        return [request.url, request.endpoint, url_for("api.here")]

    app.register_blueprint(blueprint)
    arguments = ["predict", "/here", "-i", "-", "-o", "-"]
    result = CliRunner().invoke(
        modelserve, arguments, obj=ScriptInfo(create_app=lambda: app), input=b"{}\n"
    )
    assert json.loads(result.stdout) == [
        "http://api.example.org/pre/here",
        "api.here",
        "/pre/here",
    ]


def test_url_arguments(predict, serve):
    """They are fields of the rows where the rule is named, and part of the path where that is."""

    @serve.endpoint("/words/<language>/<int:most>", methods=["GET"])
    def words(language, most, text):
        return [language, most, text]

    write_rows([{"language": "en", "most": 1, "text": "a"}, {"text": "b", "language": "é/"}])
    write_rows([{"text": "c"}], "others.jsonl")
    predict("/words/<language>/<int:most>", *FILES, code=4)
    assert read_lines("answers.jsonl") == [["en", 1, "a"]]
    [error] = read_lines("answers.errors.jsonl")
    assert "lacks most" in error["detail"]
    predict("/words/fr/7", "-i", "others.jsonl", "-o", "fr.jsonl")
    assert read_lines("fr.jsonl") == [["fr", 7, "c"]]
    Path("rows.csv").write_text("language,most,text\nde,2,d\nde,x,d\n", "utf-8")
    predict("words", "-i", "rows.csv", "-o", "de.jsonl", code=4)
    assert read_lines("de.jsonl") == [["de", 2, "d"]]


def test_url_arguments_are_as_given(predict, serve):
    """An argument of the URL may be any text that a client can write there."""

    @serve.endpoint("/files/<path:name>")
    def files(name):
        return name

    texts = ["a?b#c", "100%", "%41", "é/ü", "a b", "..", "1"]
    write_rows([{"name": name} for name in texts])
    predict("/files/<path:name>", *FILES)
    assert read_lines("answers.jsonl") == texts


def test_url_arguments_that_are_none(predict, serve):
    """What can't stand in a URL is refused in words of ours, as is a doubled key."""

    @serve.endpoint("/<int:number>")
    def function(number):
        return number

    rows = ["{}", '{"number": null}', '{"number": "x"}', '{"number": {"a": 1}}', '{"number": [1]}']
    rows += ['{"number": 1, "number": 2}', '{"number": 1']
    Path("rows.jsonl").write_text("\n".join(rows), "utf-8")
    predict("/<int:number>", *FILES, code=4)
    errors = [json.dumps(error) for error in read_lines("answers.errors.jsonl")]
    texts = [
        "lacks number",
        "lacks number",
        "can't be made of number='x'",
        "not a list or an object",
    ]
    texts += ["not a list or an object", "twice", "not valid JSON"]
    assert len(errors) == len(texts)
    for error, text in zip(errors, texts, strict=True):
        assert text in error


def test_streams(predict, serve):
    """The items of a generator are one answer."""

    @serve.endpoint("/", methods=["GET"])
    def count(to: int):
        for number in range(to):
            yield {"n": 1 // (2 - number)}

    write_rows([{"to": 0}, {"to": 2}, {"to": 3}])
    predict("/", *FILES, code=5)
    assert read_lines("answers.jsonl") == [[], [{"n": 0}, {"n": 1}]]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_lines(predict, double, end):
    """A byte order mark, CRLF, blank lines and a last line without its end are all understood."""
    text = '\ufeff{"number": 1}\r\n\r\n   \n{"number": 2}\n{"number": "é𝄞"}\n{"number": 3}' + end
    Path("rows.jsonl").write_bytes(text.encode())
    predict("/double", *FILES, "--number", code=4)
    assert read_lines("answers.jsonl") == [
        {"line": line, "answer": {"double": number}} for line, number in ((1, 2), (4, 4), (6, 6))
    ]
    assert [error["line"] for error in read_lines("answers.errors.jsonl")] == [5]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_empty_file(predict, double, name, content):
    """No rows are no answers, and no error."""
    Path(name).write_bytes(content)
    predict("/double", "-i", name, "-o", "answers.csv")
    assert Path("answers.csv").read_bytes() == b""
    assert double == []


def test_long_lines(predict, app, monkeypatch):
    """A line may be as long as a body; a longer one is an error of its row, which says what to do.

    A run that is interrupted behind one goes on as if it had not been.
    """
    monkeypatch.setattr(ledger, "_EVERY", 0.0)
    app.config["MODELSERVE_MAX_BODY_BYTES"] = 20
    stops = [KeyboardInterrupt()]

    @ModelServe(app).endpoint("/length")
    def length(text: str):
        if text == "stop" and stops:
            raise stops.pop()
        return len(text)

    lines = [f'{{"text": "{"a" * size}"}}' for size in (8, 9, 24, 25, 200_000, 1)]
    text = "\r\n".join(["\ufeff" + lines[0], *lines[1:], " " * 16 + "\r" * 9 + lines[0]])
    Path("rows.jsonl").write_bytes(f'{text}\n{{"text": "stop"}}\n{lines[1]}'.encode())
    predict("/length", *FILES, "--number", code=130)
    assert json.loads(Path("answers.jsonl.resume").read_text("utf-8"))["position"][:2] == [
        len(text.encode()) + 1,
        7,
    ]
    result = predict("/length", *FILES, "--number", "--resume", code=4)
    assert "3 answered, 6 failed with 413" in result.stderr
    assert read_lines("answers.jsonl") == [
        {"line": line, "answer": size} for line, size in ((1, 8), (6, 1), (8, 4))
    ]
    errors = read_lines("answers.errors.jsonl")
    assert [error["line"] for error in errors] == [2, 3, 4, 5, 7, 9]
    assert "longer than the 20 bytes allowed" in errors[0]["detail"]
    assert "MODELSERVE_MAX_BODY_BYTES" in errors[0]["detail"]


def test_long_lines_of_csv(predict, app):
    """Those of CSV are errors of their rows too, and a header that is one is refused."""
    app.config["MODELSERVE_MAX_BODY_BYTES"] = 10

    @ModelServe(app).endpoint("/length")
    def length(text: str):
        return len(text)

    rows = ["text", "a" * 10, "b" * 11, '"c', "d" * 10_000, "e", '"', "f"]
    Path("rows.csv").write_text("\r\n".join(rows), "utf-8")
    predict("/length", "-i", "rows.csv", "-o", "answers.csv", "--number", code=4)
    assert Path("answers.csv").read_text("utf-8") == "line,answer\n2,10\n6,1\n"
    errors = read_lines("answers.errors.jsonl")
    assert [(error["line"], error["status"]) for error in errors] == [(3, 413), (4, 413), (7, 400)]
    Path("rows.csv").write_text("g" * 11, "utf-8")
    told = predict("/length", "-i", "rows.csv", "-o", "answers.csv", "--overwrite", code=1).stderr
    assert "header can't be read: The line is longer" in told


def test_huge_line(predict, app):
    """Where bodies have no limit, a line of 50 MB is a row like any other."""
    app.config["MODELSERVE_MAX_BODY_BYTES"] = None

    @ModelServe(app).endpoint("/")
    def length(text):
        return len(text)

    size = 50_000_000
    with Path("rows.jsonl").open("w", encoding="ascii") as rows:
        rows.write('{"text": "' + "a" * size + '"}\n{"text": "b"}\n')
    predict("/", *FILES)
    assert read_lines("answers.jsonl") == [size, 1]


def test_hostile_lines(predict, double):
    """Depth, doubled keys and bytes that are no text are refused, as in requests."""
    rows = [b"[" * 100_000, b'{"number": 1, "number": 2}', b'{"number": "\xff"}', b"\0", b"NaN"]
    Path("rows.jsonl").write_bytes(b"\n".join([*rows, b'{"number": 4}']))
    predict("/double", *FILES, code=4)
    assert read_lines("answers.jsonl") == [{"double": 8}]
    assert [error["line"] for error in read_lines("answers.errors.jsonl")] == [1, 2, 3, 4, 5]


class Flat(BaseModel):
    rooms: int
    square_metres: float = 50
    tags: list[str] = []


@pytest.mark.parametrize("schema", [Flat, Every, None])
def test_csv_is_typed_by_the_schema(predict, serve, schema):
    """Cells are read as a query string's texts are, whatever the schema; empty ones are absent."""
    if schema is Every:

        @serve.endpoint("/", schema=Every)
        def function(an_int32, a_double=50.0, many_string=(), a_bool=None):
            return [an_int32, a_double, list(many_string), a_bool]

        header = "anInt32,a_double,manyString,manyString,aBool"
    else:
        header = "rooms,square_metres,tags,tags,new"

        class Home(Flat):
            new: bool | None = None

        @serve.endpoint("/", schema=schema and Home)
        def function(
            rooms: int, square_metres: float = 50.0, tags: list[str] = (), new: bool | None = None
        ):
            return [rooms, square_metres, list(tags), new]

    text = f'\ufeff{header}\r\n2,70.5,a,"b, ""c""\r\nd",true\r\n3,,,,\r\n\r\nx,1,,,\n4,,é,,false'
    Path("rows.csv").write_bytes(text.encode())
    predict("/", "-i", "rows.csv", "-o", "answers.jsonl", code=4)
    assert read_lines("answers.jsonl") == [
        [2, 70.5, ["a", 'b, "c"\r\nd'], True],
        [3, 50.0, [], None],
        [4, 50.0, ["é"], False],
    ]
    [error] = read_lines("answers.errors.jsonl")
    assert error["line"] == 6


def test_bad_csv(predict, double):
    """Records that are no CSV, or have too many or too few cells, are errors of their own rows."""
    rows = [b"number,text", b"1,a", b"2", b"3,b,c", b'"4"x,d', b"5,\xff", b'6,"e']
    Path("rows.csv").write_bytes(b"\n".join(rows) + b"\n")
    predict("/double", "-i", "rows.csv", "-o", "answers.jsonl", code=4)
    errors = read_lines("answers.errors.jsonl")
    assert [error["line"] for error in errors] == [2, 3, 4, 5, 6, 7]
    assert "is not an argument" in errors[0]["errors"][0]["message"]
    assert [error["detail"] for error in errors[1:3]] == [
        "The row has 1 cells for 2 columns.",
        "The row has 3 cells for 2 columns.",
    ]


@pytest.mark.parametrize("header", ["number,", 'number,"  "', "number,\udcff"])
def test_bad_header(predict, double, header):
    """A column without a name is refused before anything is written."""
    Path("rows.csv").write_bytes(header.encode(errors="surrogateescape") + b"\n1,2\n")
    result = predict("/double", "-i", "rows.csv", "-o", "answers.jsonl", code=1)
    assert "column 2 has no name" in result.stderr
    assert not Path("answers.jsonl").exists()


def test_csv_answers(predict, serve):
    """The columns are the fields of the first answer; what has no column is an error."""

    @serve.endpoint("/")
    def function(answer):
        return answer

    answers = [{"a": 1, "b": 'x, "y"\né'}, {"b": None}, {"a": [1, {"c": 2}], "b": True}, {"z": 1}]
    write_rows({"answer": answer} for answer in answers)
    predict("/", "-i", "rows.jsonl", "-o", "answers.csv", "--number", code=5)
    table = list(csv.reader(io.StringIO(Path("answers.csv").read_text("utf-8"), newline="")))
    assert table == [
        ["line", "a", "b"],
        ["1", "1", 'x, "y"\né'],
        ["2", "", ""],
        ["3", '[1,{"c":2}]', "true"],
    ]
    [error] = read_lines("answers.errors.jsonl")
    assert (error["line"], "z: has no column" in error["exception"]) == (4, True)


def test_csv_of_numbers(predict, serve):
    """Answers that are no objects have a column of their own."""

    @serve.endpoint("/half")
    def half(number):
        return number / 2

    write_rows([{"number": 1}, {"number": 2}])
    predict("/half", "-i", "rows.jsonl", "-o", "answers.csv")
    assert Path("answers.csv").read_text("utf-8") == "answer\n0.5\n1.0\n"


def test_parquet(predict, serve, monkeypatch):
    """Parquet goes in, null being absent, and comes out with the types of all answers."""

    @serve.endpoint("/")
    def function(number: int, text: str = "none", tags: list = ()):
        if number == 2:
            abort(404)
        return {"number": number if number % 2 else number / 8, "text": text, "tags": tags}

    columns = {
        "number": list(range(4_000)),
        "text": [None if n % 2 else "é" for n in range(4_000)],
        "tags": [["a", "b"]] * 4_000,
    }
    pq.write_table(pa.table(columns), "rows.parquet", row_group_size=999)
    monkeypatch.setattr(parquet, "_GROUP", 1_500)  # several of them
    predict("/", "-i", "rows.parquet", "-o", "answers.parquet", "--number", code=4)
    table = pq.read_table("answers.parquet")
    assert table.schema.names == ["line", "number", "text", "tags"]
    assert table.schema.field("number").type == pa.float64()
    rows = table.to_pylist()
    assert rows[0] == {"line": 1, "number": 0.0, "text": "é", "tags": ["a", "b"]}
    assert rows[2] == {"line": 4, "number": 3.0, "text": "none", "tags": ["a", "b"]}
    assert len(rows) == 3_999
    assert [error["line"] for error in read_lines("answers.errors.jsonl")] == [3]
    assert names() == ["answers.errors.jsonl", "answers.parquet", "rows.parquet"]


def test_parquet_without_rows(predict, double):
    """No rows make a file without rows."""
    pq.write_table(pa.table({"number": pa.array([], pa.int64())}), "rows.parquet")
    predict("/double", "-i", "rows.parquet", "-o", "answers.parquet")
    assert pq.read_table("answers.parquet").num_rows == 0


def test_parquet_of_mixed_answers(predict, serve):
    """Answers that no table can hold stay as JSON Lines, and can be kept or made anew."""

    @serve.endpoint("/")
    def function(answer):
        return {"answer": answer}

    write_rows([{"answer": 1}, {"answer": "x"}])
    result = predict("/", "-i", "rows.jsonl", "-o", "answers.parquet", code=1)
    assert "answers.parquet.part" in result.stderr
    assert read_lines("answers.parquet.part") == [{"answer": 1}, {"answer": "x"}]


BIG = 123456789012345678901234567890
DIGITS = [BIG, -BIG, 2**63, 2**64, -(2**63) - 1, 10**75, 7]


class Digits(BaseModel):
    n: int


@pytest.mark.parametrize("schema", [None, Digits])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_integers_of_any_size(predict, serve, monkeypatch, schema, suffix):
    """Integers over 64 bits keep all their digits, out of CSV and into every format."""
    monkeypatch.setattr(parquet, "_GROUP", 2)  # several of them

    @serve.endpoint("/", schema=schema)
    def function(n: int):
        return {"n": n, "nested": [{"n": n}]}

    Path("rows.csv").write_text("\n".join(map(str, ["n", *DIGITS])), "utf-8")
    predict("/", "-i", "rows.csv", "-o", f"answers.{suffix}", "--number")
    if suffix == "parquet":
        found = pq.read_table("answers.parquet").to_pylist()
    elif suffix == "csv":
        with Path("answers.csv").open(encoding="utf-8", newline="") as stream:
            found = [
                {"n": int(row["n"]), "nested": json.loads(row["nested"])}
                for row in csv.DictReader(stream)
            ]
    else:
        found = [line["answer"] for line in read_lines("answers.jsonl")]
    assert [row["n"] for row in found] == DIGITS
    assert [row["nested"] for row in found] == [[{"n": n}] for n in DIGITS]


def test_parquet_of_long_integers(predict, serve):
    """Integers of a Parquet file keep all digits; decimals are texts, which schemas understand."""

    @serve.endpoint("/any")
    def any_(n):
        return {"n": n}

    @serve.endpoint("/int")
    def int_(n: int):
        return {"n": n}

    @serve.endpoint("/model", schema=Digits)
    def model(n):
        return {"n": n}

    @serve.endpoint("/message", schema=Every)
    def message(a_uint64):
        return {"n": a_uint64}

    def answers(rule, column, name="n", code=0):
        pq.write_table(pa.table({name: column}), "rows.parquet")
        options = ("-i", "rows.parquet", "-o", "answers.jsonl", "--overwrite")
        predict(rule, *options, code=code)
        return [answer["n"] for answer in read_lines("answers.jsonl")]

    largest = pa.array([2**64 - 1], pa.uint64())
    assert [answers(rule, largest) for rule in ("/any", "/int", "/model")] == [[2**64 - 1]] * 3
    assert answers("/message", largest, "aUint64") == [2**64 - 1]
    decimals = pa.array([Decimal(BIG), Decimal(2**64 - 1)], pa.decimal128(38, 0))
    assert answers("/any", decimals) == [str(BIG), str(2**64 - 1)]
    assert answers("/model", decimals) == [BIG, 2**64 - 1]
    assert answers("/message", decimals, "aUint64", code=4) == [2**64 - 1]
    assert answers("/int", decimals, code=4) == []
    assert "not a string" in read_lines("answers.errors.jsonl")[0]["errors"][0]["message"]


def test_url_of_any_size(predict, serve):
    """An integer in the URL is of any size, as it is in a request."""

    @serve.endpoint("/next/<int:n>")
    def following(n):
        return n + 1

    write_rows([{"n": BIG}])
    predict("/next/<int:n>", *FILES)
    assert read_lines("answers.jsonl") == [BIG + 1]


def test_parquet_of_too_long_integers(predict, serve):
    """An integer that no decimal of Parquet's can hold is an error of its row; a text is not."""

    @serve.endpoint("/")
    def function(n: str):
        return {"n": int(n), "text": n + "0"}

    write_rows([{"n": "9" * 76}, {"n": "9" * 77}, {"n": "-" + "9" * 77}, {"n": "1"}])
    predict("/", "-i", "rows.jsonl", "-o", "answers.parquet", code=5)
    found = pq.read_table("answers.parquet").to_pylist()
    assert found == [{"n": 10**76 - 1, "text": "9" * 76 + "0"}, {"n": 1, "text": "10"}]
    errors = read_lines("answers.errors.jsonl")
    assert [error["line"] for error in errors] == [2, 3]
    assert "76 digits at most" in errors[0]["exception"]


@pytest.mark.parametrize("value", [{}, [1.5, 2**63], [{}]])
def test_parquet_has_no_place_for_it(predict, serve, value):
    """An answer that Parquet can't hold is no traceback, and leaves no half of a file."""

    @serve.endpoint("/")
    def function(number):
        return {"value": value}

    write_rows([{"number": 1}])
    result = predict("/", "-i", "rows.jsonl", "-o", "answers.parquet", code=1)
    assert "the answers don't fit one Parquet table" in result.stderr
    assert read_lines("answers.parquet.part") == [{"value": value}]
    assert not {"answers.parquet", "answers.parquet.writing"} & {*names()}


@pytest.mark.parametrize("name", ["answers.csv", "answers.parquet"])
def test_no_column_is_lost_to_the_line(predict, serve, name):
    """An answer's own line is not taken for its row's."""

    @serve.endpoint("/")
    def function(number):
        return {"line": "of text"}

    write_rows([{"number": 1}])
    result = predict("/", "-i", "rows.jsonl", "-o", name, "--number", code=1)
    assert "a field line already: leave --number out" in result.stderr


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pa.table({"at": pa.array([0], pa.timestamp("us", "No/Where"))}), "from row 1 on"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), "several columns a"),
    ],
)
def test_parquet_that_can_not_be_read(predict, double, table, text):
    """What can't be read of a Parquet file is said, and not passed over."""
    pq.write_table(table, "rows.parquet")
    result = predict("/double", "-i", "rows.parquet", "-o", "answers.jsonl", code=1)
    assert text in result.stderr


def test_parquet_without_pyarrow(predict, double, monkeypatch):
    """Without pyarrow one is told what to install."""
    monkeypatch.setattr(formats, "find_spec", lambda _name: None)
    Path("rows.parquet").touch()
    result = predict("/double", "-i", "rows.parquet", "-o", "answers.jsonl", code=1)
    assert "flask-modelserve[parquet]" in result.stderr


def test_no_parquet(predict, double):
    """What is no Parquet file is said to be none."""
    Path("rows.parquet").write_text("number\n1\n", "utf-8")
    result = predict("/double", "-i", "rows.parquet", "-o", "answers.jsonl", code=1)
    assert "no Parquet file" in result.stderr


def test_pipes(predict, double):
    """Rows come from standard input and answers go to standard output, errors to the other."""
    result = predict("/double", "-i", "-", "-o", "-", data=b'{"number": 1}\n{}\n', code=4)
    assert result.stdout == '{"double":2}\n'
    assert json.loads(result.stderr.splitlines()[0])["line"] == 2
    result = predict("/double", "-i", "-", "-o", "-", "--format", "csv", data=b"number\n4\n\n5")
    assert result.stdout == "double\n8\n10\n"
    assert names() == []


def test_prints_stay_out_of_the_answers(predict, serve):
    """What a model prints does not get among the answers."""

    @serve.endpoint("/")
    def function(number):
        sys.stdout.write("hello\n")
        return number

    result = predict("/", "-i", "-", "-o", "-", data=b'{"number": 1}\n')
    assert result.stdout == "1\n"
    assert "hello" in result.stderr


def test_prints_of_an_app_that_loads(predict, app, double, monkeypatch):
    """What an app prints when it is imported does not either."""

    def create_app():
        sys.stdout.write("hello\n")
        return app

    result = CliRunner().invoke(
        modelserve,
        ["predict", "/double", "-i", "-", "-o", "-"],
        obj=ScriptInfo(create_app=create_app),
        input=b'{"number": 1}\n',
    )
    assert result.stdout == '{"double":2}\n'
    assert "hello" in result.stderr


def test_prints_of_workers(tmp_path):
    """Nor do prints of the processes that share the rows."""
    (tmp_path / "rows.jsonl").write_text('{"number": 1}\n{"number": 2}\n', "utf-8")
    arguments = ("/talkative", "-i", "rows.jsonl", "-o", "-", "--workers", "2")
    process = start(tmp_path, *arguments, stdout=subprocess.PIPE)
    answers, told = process.communicate(timeout=60)
    assert answers == "1\n2\n"
    assert "hello" in told


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-i", "-", "-o", "answers.jsonl", "--resume"], "--resume needs files"),
        (["-i", "rows.jsonl", "-o", "-", "--resume"], "--resume needs files"),
        (["-i", "rows.jsonl", "-o", "./rows.jsonl"], "three files"),
        (["-i", "rows.jsonl", "-o", "answers.jsonl", "--errors", "answers.jsonl"], "three files"),
        (["-i", "rows.jsonl", "-o", "old.jsonl"], "--overwrite replaces it"),
        (["-i", "rows.jsonl", "-o", "old.jsonl", "--resume"], "no run of it was interrupted"),
        (["-i", "rows.jsonl", "-o", "new.jsonl", "--errors", "old.jsonl"], "old.jsonl exists"),
        (["-i", "rows.txt", "-o", "answers.jsonl"], "add --format"),
        (["-i", "rows.jsonl", "-o", "-", "--format", "parquet"], "instead of -"),
        (["-i", "none.jsonl", "-o", "answers.jsonl"], "none.jsonl"),
        (["-i", "rows.jsonl", "-o", "none/answers.jsonl"], "none/answers.jsonl"),
    ],
)
def test_refused_files(predict, double, options, text):
    """What would lose something, or can't be, is refused before a row is scored."""
    write_rows([{"number": 1}])
    write_rows([{"number": 2}], "old.jsonl")
    assert text in predict("/double", *options, code=1).stderr
    assert read_lines("old.jsonl") == [{"number": 2}]
    assert read_lines("rows.jsonl") == [{"number": 1}]
    assert double == []


def test_file_that_is_called_like_a_pipe(predict, double):
    """Only - alone is a pipe: a file of that name in a folder is not scored over itself."""
    Path("folder").mkdir()
    write_rows([{"number": 1}], "folder/-")
    options = ["-i", "folder/-", "-o", "folder/-", "--format", "jsonl", "--overwrite"]
    assert "three files" in predict("/double", *options, code=1).stderr
    assert read_lines("folder/-") == [{"number": 1}]


def test_resume_or_overwrite(predict, double):
    """A run can't both go on and begin again."""
    write_rows([{"number": 1}])
    result = predict("/double", *FILES, "--resume", "--overwrite", code=2)
    assert "either --resume or --overwrite" in result.stderr


def test_unknown_endpoint(predict, double):
    """One is told which endpoint may be meant."""
    write_rows([{"number": 1}])
    assert "did you mean /double?" in predict("/dubble", *FILES, code=1).stderr


def test_overwrite(predict, double):
    """With --overwrite the files of an earlier run are replaced, the errors too."""
    write_rows([{"number": 1}, {}])
    predict("/double", *FILES, code=4)
    write_rows([{"number": 2}])
    predict("/double", *FILES, "--overwrite")
    assert read_lines("answers.jsonl") == [{"double": 4}]
    assert not Path("answers.errors.jsonl").exists()


def test_too_many_errors(predict, double):
    """With --max-errors a run stops that only makes errors, and goes on once that is mended."""
    write_rows([{"number": n} if n > 8 else {} for n in range(12)])
    result = predict("/double", *FILES, "--max-errors", "4", code=1)
    assert (
        "8 rows failed, more than 4; --resume with a larger --max-errors goes on" in result.stderr
    )
    predict("/double", *FILES, "--max-errors", "9", "--resume", code=4)
    assert read_lines("answers.jsonl") == [{"double": 2 * n} for n in range(9, 12)]
    assert [error["line"] for error in read_lines("answers.errors.jsonl")] == list(range(1, 10))


@pytest.fixture
def interrupted(predict, serve, monkeypatch):
    """A run that Ctrl-C ended after eight rows of twenty; cleared, it goes on."""
    monkeypatch.setattr(ledger, "_EVERY", 0.0)
    stops = {8}

    @serve.endpoint("/")
    def function(number: int):
        if number in stops:
            raise KeyboardInterrupt
        return {"number": number}

    write_rows({"number": n} for n in range(20))
    result = predict("/", *FILES, code=130)
    assert "--resume goes on" in result.stderr
    return stops


def test_interrupted_run(predict, interrupted):
    """Ctrl-C leaves whole lines, and the run neither begins again unasked nor loses a row."""
    assert read_lines("answers.jsonl") == [{"number": n} for n in range(8)]
    assert "--resume goes on with it" in predict("/", *FILES, code=1).stderr
    predict("/", *FILES, "--resume", code=130)
    interrupted.clear()
    predict("/", *FILES, "--resume")
    assert read_lines("answers.jsonl") == [{"number": n} for n in range(20)]
    assert names() == ["answers.jsonl", "rows.jsonl"]


def test_secrets_in_headers_are_not_kept(predict, serve):
    """What is kept of a run tells the headers of another from its own, but not what they say."""
    stops = [KeyboardInterrupt]

    @serve.endpoint("/")
    def function(number):
        raise stops.pop() if stops else InvalidRequest("bad")

    write_rows([{"number": 1}])
    predict("/", *FILES, "-H", "X-Token: hush", code=130)
    assert "hush" not in Path("answers.jsonl.resume").read_text("utf-8")
    told = predict("/", *FILES, "--resume", "-H", "X-Token: other", code=1).stderr
    assert "had --header X-Token" in told
    predict("/", *FILES, "--resume", "-H", "X-Token: hush", code=4)


def test_resume_without_a_run(predict, double):
    """--resume begins where nothing was begun: a script can always say it."""
    write_rows([{"number": 1}])
    predict("/double", *FILES, "--resume")
    assert read_lines("answers.jsonl") == [{"double": 2}]


def change_row(number: int) -> None:
    text = Path("rows.jsonl").read_text("utf-8")
    Path("rows.jsonl").write_text(
        text.replace(f" {number}}}", f"{5:>{len(str(number)) + 1}}}}"), "utf-8"
    )


def keep(**changes) -> None:
    """Change what is kept of a run."""
    path = Path("answers.jsonl.resume")
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        (lambda: change_row(2), [], "have changed since"),
        (lambda: write_rows([{"number": 1}]), [], "input size"),
        (lambda: Path("answers.jsonl").write_bytes(b""), [], "shorter than it was"),
        (lambda: Path("answers.jsonl.resume").write_bytes(b"{"), [], "can't be read"),
        (lambda: Path("answers.jsonl.resume").write_bytes(b'{"version": 1}'), [], "can't be read"),
        (lambda: Path("answers.jsonl.resume").write_bytes(b"[]"), [], "can't be read"),
        (lambda: keep(position=None), [], "can't be read"),
        (lambda: keep(version=0), [], "of another version"),
        (lambda: None, ["--number"], "had --number False, not True"),
        (lambda: None, ["-H", "A: b"], "had --header"),
        (lambda: None, ["--errors", "other.jsonl"], "had errors"),
    ],
)
def test_resume_of_something_else(predict, interrupted, change, options, text):
    """A run does not go on with other rows or options, nor without its own output."""
    interrupted.clear()
    change()
    answers = Path("answers.jsonl").read_bytes()
    result = predict("/", *FILES, "--resume", *options, code=1)
    assert text in result.stderr
    assert "--overwrite begins again" in result.stderr
    assert Path("answers.jsonl").read_bytes() == answers
    predict("/", *FILES, *options, "--overwrite")
    assert len(read_lines("answers.jsonl")) == len(read_lines("rows.jsonl"))


def test_resume_with_another_model(predict, interrupted, serve):
    """Answers of two versions of a model don't get into one file."""

    @serve.endpoint("/new", version="2")
    def new(number: int):
        return number

    kept = json.loads(Path("answers.jsonl.resume").read_text("utf-8"))
    keep(task=kept["task"] | {"rule": "/new", "model version": "1"})
    result = predict("/new", *FILES, "--resume", code=1)
    assert "had model version 1, not 2" in result.stderr


def test_rows_that_were_not_scored_may_change(predict, interrupted):
    """What has not been read yet may still be mended."""
    interrupted.clear()
    change_row(12)
    predict("/", *FILES, "--resume")
    assert [row["number"] for row in read_lines("answers.jsonl")] == [*range(12), 5, *range(13, 20)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rows.jsonl", "answers.csv"),
        ("rows.csv", "answers.parquet"),
        ("rows.parquet", "answers.jsonl"),
    ],
)
def test_every_format_goes_on(predict, serve, monkeypatch, source, name):
    """Interrupted anywhere, a run ends with what it would have ended with, in every format."""
    monkeypatch.setattr(ledger, "_EVERY", 0.0)
    stops = []

    @serve.endpoint("/", batch=Batch(4))
    def function(number: list[int]):
        if stops and stops[0] in number:
            stops.pop(0)
            raise KeyboardInterrupt
        return [
            InvalidRequest("bad") if n % 7 == 3 else {"n": n, "sum": sum(number)} for n in number
        ]

    numbers = list(range(1, 60))
    write_rows({"number": n} for n in numbers)
    Path("rows.csv").write_text("number\n\n" + "\n".join(map(str, numbers)), "utf-8")
    pq.write_table(pa.table({"number": numbers}), "rows.parquet", row_group_size=9)
    suffix = Path(name).suffix
    predict("/", "-i", source, "-o", f"whole{suffix}", code=4)
    stops += [2, 17, 18, 40, 59]
    for _ in range(5):
        predict("/", "-i", source, "-o", name, "--resume", code=130)
        with Path("answers.errors.jsonl").open("ab") as errors:
            errors.write(b'{"torn')  # what a kill leaves behind
    predict("/", "-i", source, "-o", name, "--resume", code=4)
    assert Path(name).read_bytes() == Path(f"whole{suffix}").read_bytes()
    assert Path("answers.errors.jsonl").read_bytes() == Path("whole.errors.jsonl").read_bytes()


def test_long_csv_goes_on(predict, serve, monkeypatch):
    """What has been written is read for its header alone, however long its texts are."""
    monkeypatch.setattr(ledger, "_EVERY", 0.0)
    stops = {1}

    @serve.endpoint("/")
    def function(number: int):
        if number in stops:
            raise KeyboardInterrupt
        return "é" * 700_000 + "a"

    write_rows([{"number": 0}, {"number": 1}])
    predict("/", "-i", "rows.jsonl", "-o", "answers.csv", code=130)
    stops.clear()
    predict("/", "-i", "rows.jsonl", "-o", "answers.csv", "--resume")
    header, *answers = Path("answers.csv").read_text("utf-8").split()
    assert (header, [len(answer) for answer in answers]) == ("answer", [700_001] * 2)


def test_two_runs_at_once(predict, double):
    """A second run into the same file is refused."""
    write_rows([{"number": 1}])
    with Output.open(Path("answers.jsonl")):
        result = predict("/double", *FILES, code=1)
    assert "another run writes answers.jsonl" in result.stderr


def test_folder_without_locks(predict, double, monkeypatch):
    """A file system that knows no locks is not taken for a second run."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("flask_modelserve.bulk.output.fcntl.flock", refuse)
    write_rows([{"number": 1}])
    result = predict("/double", *FILES, code=1)
    assert "No locks available" in result.stderr


def test_disk_that_fills_up(predict, serve):
    """What a full disk took half of is taken back: whole lines stay, and the run can go on."""

    @serve.endpoint("/")
    def function(number):
        return "a" * 1_000_000

    write_rows([{"number": n} for n in range(3)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
        result = predict("/", *FILES, code=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "File too large" in result.stderr
    assert Path("answers.jsonl").read_bytes() == b""
    predict("/", *FILES, "--resume")
    assert len(read_lines("answers.jsonl")) == 3


def test_full_disk(predict, double):
    """A disk that is full is an error without a traceback."""
    write_rows([{"number": 1}])
    result = predict("/double", "-i", "rows.jsonl", "-o", "/dev/full", "--format", "jsonl", code=1)
    assert "No space left" in result.stderr


def command(*arguments: str) -> list[str]:
    flask = [sys.executable, "-m", "flask", "--app", str(BULK_APP)]
    return [*flask, "modelserve", "predict", *arguments]


def start(folder: Path, *arguments: str, **options) -> subprocess.Popen[str]:
    """Run the command as users do, in a process of its own."""
    environment = {**os.environ, "BULK_APP_FOLDER": str(folder)}
    environment |= {"BULK_APP_SECONDS": str(options.pop("seconds", 0))}
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=environment,
        stderr=options.pop("stderr", subprocess.PIPE),
        text=True,
        start_new_session=True,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a process, and return what it told."""
    _, told = process.communicate(timeout=60)
    return told


KILLED_ROWS = 2_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Rows, and what a run makes of them that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(KILLED_ROWS):
            stream.write(json.dumps({"number": number, "text": "é" * (number % 40)}) + "\n")
    process = start(folder, "/slow", *FILES, "--number")
    finish(process)
    assert process.returncode == 4
    return folder


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_run(tmp_path, whole, workers):
    """Killed, interrupted and resumed, a run loses and doubles nothing, byte for byte."""
    rows = Path(shutil.copy(whole / "rows.jsonl", tmp_path))
    options = ("/slow", *FILES, "--number", "--workers", workers, "--resume")
    checkpoint = tmp_path / "answers.jsonl.resume"

    def offset():
        try:
            return json.loads(checkpoint.read_text("utf-8"))["position"][0]
        except FileNotFoundError:
            return 0

    done = 0
    for kill, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = start(tmp_path, *options, seconds=0.02 * int(workers))
        until(lambda process=process, done=done: offset() > done or process.poll() is not None)
        started = psutil.Process(process.pid).children(recursive=True)
        if kill == signal.SIGINT:
            os.killpg(process.pid, kill)  # as a terminal does
        else:
            process.kill()
        finish(process)
        assert process.returncode == code
        until(lambda started=started: not any(map(psutil.Process.is_running, started)))
        done = offset()
        assert 0 < done < rows.stat().st_size
    with (tmp_path / "answers.jsonl").open("ab") as answers:
        answers.write(b'{"torn')
    last = start(tmp_path, *options)
    failed = KILLED_ROWS // 50
    assert f"{KILLED_ROWS - failed:,} answered, {failed} failed with 400" in finish(last)
    assert last.returncode == 4
    for name in ("answers.jsonl", "answers.errors.jsonl"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    assert not checkpoint.exists()


def test_workers(tmp_path):
    """Processes share the rows, each with a model of its own, and answers keep their order."""
    rows = [{"number": n} for n in range(20_000)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, "utf-8")
    process = start(tmp_path, "/process", *FILES, "--workers", "2")
    told = finish(process)
    assert process.returncode == 0, told
    lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": n, "double": 2 * n} for n in range(20_000)
    ]
    loaded = [int(path.name.partition("-")[2]) for path in tmp_path.glob("loaded-*")]
    assert len(loaded) == 2
    assert process.pid not in loaded


def test_app_of_this_process_only(predict, double):
    """An app that other processes can't make is said to be one."""
    write_rows([{"number": 1}])
    told = predict("/double", *FILES, "--workers", "2", code=1).stderr
    assert "leave --workers out, or name the app by --app" in told


def test_death_of_a_worker(tmp_path):
    """A worker that dies, as for lack of memory, ends the run with a message and a way to go on."""
    text = "".join(f'{{"number": {n}}}\n' for n in range(10))
    (tmp_path / "rows.jsonl").write_text(text, "utf-8")
    process = start(tmp_path, "/deadly", *FILES, "--workers", "2")
    told = finish(process)
    assert process.returncode == 1
    assert "a worker died, perhaps for lack of memory; the same with --resume goes on" in told
    assert "Traceback" not in told


def test_progress_bar(tmp_path):
    """At a terminal a bar shows how far the run is, its rate and the time that is left."""
    rows = [json.dumps({"number": n, "text": "a"}) for n in range(5_000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), "utf-8")
    terminal, theirs = pty.openpty()
    process = start(tmp_path, "/slow", *FILES, stderr=theirs, seconds=0.002)
    os.close(theirs)
    told = b""
    try:
        while piece := os.read(terminal, 4096):
            told += piece
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(terminal)
    assert process.wait(60) == 4
    bars = told.decode().split("\r")
    assert any(
        re.search(r"##--.* \d+% +00:00:\d\d .*[\d,]+ rows, .*[\d,]+ rows/s", b) for b in bars
    )
    assert "Rows: 4,900 answered, 100 failed with 400." in told.decode()


def test_plain_progress(predict, double, monkeypatch):
    """Elsewhere it is a line from time to time."""
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    write_rows({"number": n} for n in range(12))
    told = predict("/double", *FILES).stderr
    assert re.search(r"^12 rows, [\d,]+ rows/s, 0:00 min left$", told, re.MULTILINE)


def peak_memory(folder: Path, *arguments: str) -> int:
    """Return the bytes that a run takes at most."""
    done = subprocess.run(
        command("/echo", *FILES, "--overwrite", *arguments),
        cwd=folder,
        env={**os.environ, "BULK_APP_MEMORY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 4}, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    return int(re.search(r"memory (\d+)", done.stderr)[1]) * unit


def test_memory_is_flat(tmp_path):
    """A file twenty times as long takes no more memory."""
    peaks = []
    for count in (500, 10_000):
        with (tmp_path / "rows.jsonl").open("w", encoding="ascii") as rows:
            for number in range(count):
                rows.write(json.dumps({"text": f"{number:08}" * 1000}) + "\n")
        peaks.append(peak_memory(tmp_path))
    assert (tmp_path / "answers.jsonl").stat().st_size > 80_000_000
    assert peaks[1] - peaks[0] < 16_000_000


def test_file_without_line_ends(tmp_path):
    """It is not read into memory: its one line is an error, also where other processes score."""
    peaks = []
    for size in (1_000, 500_000_000):
        with (tmp_path / "rows.jsonl").open("wb") as rows:
            rows.truncate(size)  # of zeros, which take no place on the disk
        peaks.append(peak_memory(tmp_path, "--workers", "2"))
    [error] = read_lines(tmp_path / "answers.errors.jsonl")
    assert (error["line"], error["status"]) == (1, 413)
    assert peaks[1] - peaks[0] < 100_000_000


def test_bulk_is_faster(tmp_path, monkeypatch):
    """Digits are read at least five times faster than one by one, even without a network."""
    spec = importlib.util.spec_from_file_location(
        "digits_example", ROOT / "examples" / "digits" / "digits.py"
    )
    digits = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, digits)  # where pydantic looks annotations up
    spec.loader.exec_module(digits)
    images = [image.tolist() for image in digits.load_digits(return_X_y=True)[0][:320]]
    monkeypatch.chdir(tmp_path)
    write_rows({"pixels": image} for image in images)
    client = digits.app.test_client()
    for path in ("/digit", "/alone"):  # the forests learn
        client.post(path, json={"pixels": images[0]})
    begun = time.process_time()  # of this process: others may be busy
    expected = [client.post("/alone", json={"pixels": image}).json for image in images[:40]]
    one_by_one = (time.process_time() - begun) / 40
    begun = time.process_time()
    result = CliRunner().invoke(
        modelserve, ["predict", "/digit", *FILES], obj=ScriptInfo(create_app=lambda: digits.app)
    )
    in_bulk = (time.process_time() - begun) / 320
    assert result.exit_code == 0, result.output
    assert read_lines("answers.jsonl")[:40] == expected
    assert in_bulk * 5 < one_by_one
