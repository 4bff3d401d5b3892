"""Batching under any order of arrivals, calls, refusals and deaths that Hypothesis thinks of."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flask_modelserve import Batch, InvalidRequest, ModelServe

from .crowds import PATIENCE, Gate, Request, answers, until

SIZE, QUEUE = 3, 5
KINDS = ["good", "poison", "exception", "death"]
STATUS = {"good": 200, "poison": 400, "exception": 500, "death": 500}


class Turnstile:
    """A model whose calls wait until each is let through."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self._gates: list[Gate] = []
        self._seen: set[int] = set()

    def __call__(self, number: Any, kind: Any) -> Any:
        if self._seen.isdisjoint(number):  # not one of the tries that look for a culprit
            self._seen.update(number)
            gate = Gate()
            self._gates.append(gate)
            self.calls.append(list(number))
            gate.pass_through()
        if "death" in kind:
            raise SystemExit
        if "poison" in kind:
            raise InvalidRequest("poison")
        return [
            ValueError("given back") if each == "exception" else {"number": one}
            for one, each in zip(number, kind, strict=True)
        ]

    def await_call(self, count: int) -> None:
        until(lambda: len(self.calls) >= count)

    def let_through(self) -> None:
        self._gates[-1].open()


class Arrivals(RuleBasedStateMachine):
    """Requests come and calls end in any order; a list and a queue say what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.app = Flask(__name__)
        self.model = Turnstile()
        batch = Batch(SIZE, max_wait=0)
        serve = ModelServe(self.app)
        serve.endpoint("/", endpoint="model", batch=batch, max_queue=QUEUE)(self.model)
        self.numbers = itertools.count()
        self.requests: dict[int, tuple[str, Request]] = {}
        self.running: list[int] = []
        self.waiting: deque[int] = deque()
        self.called: list[list[int]] = []

    @rule(kind=st.sampled_from(KINDS))
    def arrive(self, kind: str) -> None:
        number = next(self.numbers)
        request = Request(self.app, {"number": number, "kind": kind})
        if len(self.waiting) == QUEUE:
            response = request.response()
            assert response.status_code == 503
            assert "Retry-After" in response.headers
            return
        self.requests[number] = (kind, request)
        self.waiting.append(number)
        until(request.is_waiting)
        self._call()

    @precondition(lambda self: self.running)
    @rule()
    def finish(self) -> None:
        self.model.let_through()
        kinds = [self.requests[number][0] for number in self.running]
        for number, kind in zip(self.running, kinds, strict=True):
            response = self.requests.pop(number)[1].response()
            # Who dies takes all of its batch along.
            assert response.status_code == (500 if "death" in kinds else STATUS[kind])
            if response.status_code == 200:
                assert response.json == {"number": number}
        self.running = []
        self._call()

    def _call(self) -> None:
        """Have the oldest that wait called, as many as a batch takes."""
        if not self.running and self.waiting:
            self.running = [self.waiting.popleft() for _ in range(min(SIZE, len(self.waiting)))]
            self.called.append(list(self.running))
            self.model.await_call(len(self.called))

    @invariant()
    def calls_are_as_expected(self) -> None:
        assert self.model.calls == self.called

    def teardown(self) -> None:
        while self.running:
            self.finish()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_arrivals() -> None:
    """Whatever comes when, batches are filled in order, and each request gets its own answer."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Arrivals, settings=settings(max_examples=30, stateful_step_count=25, deadline=None)
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(st.sampled_from(["good", "poison", "exception"]), min_size=1, max_size=24),
    size=st.integers(1, 9),
    wait=st.sampled_from([0, 0.001, 0.01]),
)
def test_crowds(kinds: list[str], size: int, wait: float) -> None:
    """Of any crowd that comes at once each request gets its own answer, whatever the others are."""
    app = Flask(__name__)
    running = threading.Lock()

    @ModelServe(app).endpoint("/", batch=Batch(size, max_wait=wait))
    def model(number: Any, kind: Any) -> Any:
        assert running.acquire(timeout=PATIENCE)
        try:
            assert len(number) == len(kind) <= size
            if "poison" in kind:
                raise InvalidRequest(f"poison: {number}")
            return [
                ValueError("given back") if each == "exception" else {"number": one}
                for one, each in zip(number, kind, strict=True)
            ]
        finally:
            running.release()

    bodies = [{"number": number, "kind": kind} for number, kind in enumerate(kinds)]
    for body, response in zip(bodies, answers(app, bodies), strict=True):
        assert response.status_code == STATUS[body["kind"]]
        if response.status_code == 200:
            assert response.json == {"number": body["number"]}
        if response.status_code == 400:
            assert response.json["detail"] == f"poison: [{body['number']}]"
