"""BentoML: one service with one worker, request and response validated by their types."""

import bentoml

from .language import Request, Response, detect


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Language:
    @bentoml.api(route="/detect")
    def detect(self, request: Request, /) -> Response:
        return Response(**detect(request))
