"""``flask modelserve``: what an app serves, what will hurt it, one request, and bulk scoring.

Flask finds the group by the entry point ``flask.commands``: it works for every app, factories
included, and costs an app that is served nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stdout
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import click
from flask.cli import ScriptInfo, pass_script_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flask import Flask

    from .routes import Route
    from .spec import EndpointSpec

_INTERRUPTED = 130  # as shells have it for SIGINT


@click.group()
def modelserve() -> None:
    """Look at, check and use the endpoints of flask_modelserve."""


@modelserve.command()
@pass_script_info
def endpoints(info: ScriptInfo) -> None:
    """List the endpoints: rule, methods, schema, cache, batch and limits."""
    from .routes import routes

    rows = [_endpoint_cells(route) for route in _found(routes, info.load_app())]
    if not rows:
        click.echo("The app has no endpoints.")
        return
    header = ("Rule", "Methods", "Schema", "Answer", "Cache", "Batch", "Limits", "Endpoint")
    for line in _table([header, *rows]):
        click.echo(line)


@modelserve.command()
@click.option(
    "--output", "-o", type=click.File("wb", lazy=True), default="-", help="The file to write."
)
@pass_script_info
def openapi(info: ScriptInfo, output: IO[bytes]) -> None:
    """Print the OpenAPI document of the endpoints, or write it to a file."""
    from .openapi.document import Document
    from .routes import routes

    with redirect_stdout(sys.stderr):  # what the app prints is no part of the document
        app = info.load_app()
    _found(routes, app)  # or there is no document
    state = app.extensions["modelserve"]
    output.write(Document.of(app, state.endpoints, state.config).body + b"\n")


@modelserve.command(context_settings={"ignore_unknown_options": True})
@click.argument("gunicorn", nargs=-1, type=click.UNPROCESSED)
@pass_script_info
def check(info: ScriptInfo, gunicorn: Sequence[str]) -> None:
    r"""Find what will hurt in production, and say how to mend it.

    GUNICORN are the options that gunicorn is started with, as in

    \b
        flask modelserve check --workers 4 --threads 32

    Those of GUNICORN_CMD_ARGS, WEB_CONCURRENCY and gunicorn.conf.py count too; without any, the
    app is checked for `gunicorn -c python:flask_modelserve.gunicorn`. The exit code is 1 when
    something is found.
    """
    from .deployment import Deployment
    from .findings import find

    try:
        deployment = Deployment.read(gunicorn)
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    info.set_debug_flag = False  # or it would hide what the app sets itself
    app = info.load_app()
    found = _found(find, app, deployment)
    click.echo(f"Checked for {deployment}.")
    for finding in found:
        click.echo(f"\n{finding.where}: {finding.what}\n    {finding.remedy}")
    if found:
        click.echo(f"\n{len(found)} found.")
        sys.exit(1)
    click.echo("Nothing found.")


@modelserve.command()
@click.argument("rule")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--json", "text", metavar="TEXT", help="The input as JSON; - reads it from stdin.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE")
@pass_script_info
def call(
    info: ScriptInfo, rule: str, fields: Sequence[str], text: str | None, headers: Sequence[str]
) -> None:
    """Send one request to RULE in this process, and print its answer.

    RULE is an endpoint's rule, its name, or a path such as /words/en. Values are read as in a
    query string; several FIELD=VALUE of one name are a list. With - in place of fields, the input
    is read from stdin.

    The exit code is 0, or 4 or 5 when the answer is an error of the client or of the server.
    """
    from .calls import send
    from .routes import find_route

    if fields == ("-",):
        fields, text = (), "-"
    if fields and text is not None:
        raise click.UsageError("Give either fields or --json.")
    body = sys.stdin.buffer.read() if text == "-" else None if text is None else os.fsencode(text)
    _leave_metrics()
    out = _own_stdout()
    app = info.load_app()
    route = _found(find_route, app, rule)
    if body is not None and route.method == "GET":
        raise click.UsageError(f"{rule} takes a query string: give fields, as in name=value.")
    response = send(app, route, _pairs(fields), body, _headers(headers))
    last = b""
    for piece in response.iter_encoded():  # a stream's, as they come
        out.write(piece)
        out.flush()
        last = piece or last
    if not last.endswith(b"\n"):
        out.write(b"\n")
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        click.echo(response.status, err=True)
        sys.exit(response.status_code // 100)


@modelserve.command()
@click.argument("rule")
@click.option("-i", "--input", "source", required=True, help="The rows: .jsonl, .csv, .parquet, -")
@click.option("-o", "--output", required=True, help="The answers: .jsonl, .csv, .parquet, -")
@click.option("--errors", help="The rows that failed, as JSON Lines.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    help="Of files whose names don't tell it.",
)
@click.option("--number", "numbered", is_flag=True, help="Give each answer its row's line.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier run.")
@click.option("--max-errors", type=click.IntRange(0), help="Stop when more rows have failed.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes.", show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME:VALUE")
@pass_script_info
def predict(
    info: ScriptInfo, /, rule: str, source: str, headers: Sequence[str], **options: Any
) -> None:
    """Score a file of rows by the endpoint at RULE, without a server.

    Rows are decoded, batched and checked as requests are. Those that fail are written into a file
    of their own with their line and problem, and the rest goes on.

    The exit code is 0, or 4 or 5 when rows failed by an error of their own or of the function; 1
    when the run could not be ended, and 130 when it was interrupted.
    """
    from .bulk.job import TooManyErrors, run
    from .bulk.readers import BadInput
    from .bulk.task import Task

    if options["resume"] and options["overwrite"]:
        raise click.UsageError("Give either --resume or --overwrite.")
    _leave_metrics()
    task = Task(rule=rule, input=source, headers=_headers(headers), **options)
    try:
        ledger = _found(run, task, _loader(info))
    except (BadInput, OSError) as error:
        raise click.ClickException(str(error)) from None
    except TooManyErrors as error:
        larger = "--resume with a larger --max-errors goes on"
        raise click.ClickException(f"{error}; {_how_to_go_on(task, larger)}") from None
    except BrokenProcessPool:
        raise click.ClickException(
            f"a worker died, perhaps for lack of memory; {_how_to_go_on(task)}"
        ) from None
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted; {_how_to_go_on(task)}.", err=True)
        sys.exit(_INTERRUPTED)
    parts = [f"{ledger.answered:,} answered"]
    parts += [
        f"{count:,} failed with {status}" for status, count in sorted(ledger.failures.items())
    ]
    click.echo(f"Rows: {', '.join(parts)}.", err=True)
    if ledger.failures:
        click.echo(f"See {task.errors_path or 'above'}.", err=True)
        sys.exit(int(max(ledger.failures)) // 100)


def _how_to_go_on(task: Any, how: str = "the same with --resume goes on") -> str:
    return "what came through a pipe can't be read again" if task.checkpoint_path is None else how


def _found(look: Callable[..., Any], *arguments: Any) -> Any:
    """Do what may not find an endpoint, and tell so without a traceback."""
    try:
        return look(*arguments)
    except LookupError as error:
        if type(error) is not LookupError:  # a KeyError of the app's own code
            raise
        raise click.ClickException(str(error)) from None


def _leave_metrics() -> None:
    """Keep this process out of the metrics of the service."""
    from . import slots

    if slots.are_shared():
        folder = tempfile.TemporaryDirectory()
        click.get_current_context().call_on_close(folder.cleanup)
        slots.move(Path(folder.name))


def _own_stdout() -> BinaryIO:
    """Return standard output for the command alone: what the app prints goes to the other."""
    out = sys.stdout.buffer
    click.get_current_context().with_resource(redirect_stdout(sys.stderr))
    return out


def _loader(info: ScriptInfo) -> Callable[[], Flask]:
    """Return what makes the app, here or in another process."""
    if info.create_app is None:
        return partial(_load_app, info.app_import_path)
    return info.create_app


def _load_app(import_path: str | None) -> Flask:
    return ScriptInfo(import_path).load_app()


def _pairs(fields: Iterable[str]) -> list[tuple[str, str]]:
    pairs = []
    for field in fields:
        name, equals, value = field.partition("=")
        if not (name and equals):
            raise click.UsageError(f"{field!r} is no field: write name=value.")
        pairs.append((name, value))
    return pairs


def _headers(headers: Iterable[str]) -> list[tuple[str, str]]:
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not (name.strip() and colon):
            raise click.UsageError(f"{header!r} is no header: write 'Name: value'.")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _endpoint_cells(route: Route) -> tuple[str, ...]:
    spec: EndpointSpec = route.endpoint.spec
    return (
        route.rule.rule,
        ", ".join(spec.methods),
        _class_name(spec.schema),
        _class_name(spec.response_schema),
        "-" if spec.cache is None else f"{spec.cache:g} s",
        "-" if spec.batch is None else f"{spec.batch.max_size} in {spec.batch.max_wait:g} s",
        _limits(spec),
        route.name,
    )


def _class_name(schema: Any) -> str:
    return "-" if schema is None else str(schema.__name__)


def _limits(spec: EndpointSpec) -> str:
    limits = []
    if spec.max_concurrency is not None:
        limits.append(f"{spec.max_concurrency} at once")
    if spec.max_queue is not None:
        limits.append(f"{spec.max_queue} waiting")
    if spec.timeout is not None:
        limits.append(f"{spec.timeout:g} s")
    return ", ".join(limits) or "-"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in ruled
    ]
