"""What examples/deploy says: its Dockerfile, its manifests for Kubernetes, its Compose file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import yaml
from dockerfile_parse import DockerfileParser
from dockerfile_parse.util import WordSplitter

FOLDER = Path(__file__).parents[1] / "examples" / "deploy"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))
OBJECTS = [
    each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text("utf-8")) if each
]
BY_NAME = {(each["kind"], each["metadata"]["name"]): each for each in OBJECTS}
POD = BY_NAME["Deployment", "digits"]["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]
ENVIRONMENT = {each["name"]: each["value"] for each in CONTAINER["env"]}
PORTS = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}
PROBES = {
    kind: CONTAINER[kind]["httpGet"]["path"]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe")
}
CACHE = BY_NAME["Deployment", "digits-cache"]["spec"]["template"]["spec"]["containers"][0]
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]


def instructions(name: str) -> list[str]:
    """Return what the Dockerfile says in all instructions of a name."""
    parser = DockerfileParser(fileobj=BytesIO((FOLDER / "Dockerfile").read_bytes()))
    return [each["value"] for each in parser.structure if each["instruction"] == name]


def last(name: str) -> str:
    """Return what the last instruction of a name says: for most, the one that counts."""
    return instructions(name)[-1]


def copied() -> list[str]:
    """Return what the image takes out of the folder."""
    lines = [value.split() for value in instructions("COPY")]
    return [source for *sources, _ in lines for source in sources if "--from" not in sources[0]]


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    return dict(word.split("=", 1) for word in WordSplitter(last("ENV")).split())


def image_command() -> list[str]:
    """Return the command that the image runs."""
    command: list[str] = yaml.safe_load(last("CMD"))  # its exec form is a list of strings
    return command
