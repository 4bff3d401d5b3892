"""The image, the manifests and the Compose file of examples/deploy, where no engine is needed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from .deployment import (
    BY_NAME,
    COMPOSE,
    CONTAINER,
    ENVIRONMENT,
    FOLDER,
    MANIFESTS,
    OBJECTS,
    POD,
    PORTS,
    PROBES,
    copied,
    image_environment,
    instructions,
    last,
)
from .documents import commands
from .servers import program

if TYPE_CHECKING:
    from pathlib import Path

DEPLOYMENTS = [each for each in OBJECTS if each["kind"] == "Deployment"]
# The versions of Kubernetes that are old but still around, and new.
VERSIONS = ["1.30", "1.35"]


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program(name), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas(manifest: Path, version: str) -> None:
    """Kubernetes accepts each manifest, and knows every field in it."""
    done = tool("kubernetes-validate", "--strict", "--kubernetes-version", version, manifest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr


def test_misspelt_manifests_are_noticed(tmp_path: Path) -> None:
    """The check of the schemas notices a field that does not exist."""
    manifest = (FOLDER / "kubernetes" / "deployment.yaml").read_text("utf-8")
    (tmp_path / "wrong.yaml").write_text(manifest.replace("readinessProbe", "readynessProbe"))
    done = tool("kubernetes-validate", "--strict", tmp_path / "wrong.yaml")
    assert done.returncode == 1
    assert "readynessProbe" in done.stdout + done.stderr


def test_compose_fits_the_schema() -> None:
    """Compose accepts compose.yaml."""
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = tool("check-jsonschema", *schema, FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile_lints() -> None:
    """A linter has nothing to say about the Dockerfile."""
    done = tool("hadolint", "--no-color", FOLDER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_image_has_a_base_that_stays() -> None:
    """Each stage starts from a release of Python, and both from one."""
    bases = {value.split(" AS ")[0] for value in instructions("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[1-4]-slim-\w+", bases.pop())
    pulled = [each["image"] for each in COMPOSE.values()]
    pulled += [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in DEPLOYMENTS]
    for image in pulled:
        _, tag = image.rsplit(":", 1)
        assert re.match(r"v?\d", tag), image


def test_image_gets_what_it_copies() -> None:
    """What COPY takes is there and gets past .dockerignore, which keeps out everything else."""
    everything, *kept = (FOLDER / ".dockerignore").read_text("utf-8").split()
    sources = set(copied())
    assert everything == "*"
    assert {f"!{source}" for source in sources} == set(kept)
    [(make_wheels, _)] = [
        each for each in commands(FOLDER / "README.md", "python") if " wheel " in each[0]
    ]
    assert "--wheel-dir examples/deploy/wheels" in make_wheels
    for source in sources - {"wheels"}:
        assert (FOLDER / source).exists()


def test_requirements_are_what_the_service_imports() -> None:
    """The image has installed whatever service.py imports, and the client of the cache."""
    lines = (FOLDER / "requirements.txt").read_text("utf-8").split()
    source = (FOLDER / "service.py").read_text("utf-8")
    imported = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
    imported -= {*sys.stdlib_module_names, "flask", "flask_modelserve"}
    assert {re.split(r"[<>=]", line)[0] for line in lines} == {*imported, "redis"}


def test_nothing_runs_as_root() -> None:
    """All pods fit the restricted Pod Security Standard, with a disk that is read-only."""
    for deployment in DEPLOYMENTS:
        spec = deployment["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
    user = POD["spec"]["securityContext"]
    assert last("USER") == f"{user['runAsUser']}:{user['runAsGroup']}"


def test_only_tmp_is_written() -> None:
    """The image keeps what it writes in /tmp, which is memory wherever it runs."""
    assert image_environment()["HOME"] == "/tmp"
    assert [each["mountPath"] for each in CONTAINER["volumeMounts"]] == ["/tmp"]
    assert POD["spec"]["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert COMPOSE["digits"]["read_only"]
    assert COMPOSE["digits"]["tmpfs"] == ["/tmp"]


def test_manifests_find_each_other() -> None:
    """Selectors, targets, ports and addresses name what there is."""
    for each in OBJECTS:
        spec = each["spec"]
        if each["kind"] == "Deployment":
            chosen, own = spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]
            assert chosen.items() <= own.items()
        elif each["kind"] == "Service":
            target = BY_NAME["Deployment", each["metadata"]["name"]]["spec"]["template"]
            assert spec["selector"].items() <= target["metadata"]["labels"].items()
            named = {port["name"] for port in target["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= named
        elif each["kind"] == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            assert (target["kind"], target["name"]) in BY_NAME
            assert "replicas" not in BY_NAME[target["kind"], target["name"]]["spec"]
            assert spec["minReplicas"] >= 2  # one goes on while another is replaced
        elif each["kind"] == "PodDisruptionBudget":
            labels = spec["selector"]["matchLabels"].items()
            assert labels <= POD["metadata"]["labels"].items()
        else:
            assert each["kind"] == "NetworkPolicy"
            source = spec["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
            assert source.items() <= POD["metadata"]["labels"].items()
    for probe in PROBES:
        assert CONTAINER[probe]["httpGet"]["port"] in PORTS
    cache = BY_NAME["Service", "digits-cache"]
    address = f"{cache['metadata']['name']}:{cache['spec']['ports'][0]['port']}"
    assert ENVIRONMENT["FLASK_CACHE_REDIS_URL"] == f"redis://{address}/0"
    assert COMPOSE["digits"]["environment"]["FLASK_CACHE_REDIS_URL"] == "redis://cache:6379/0"


def test_prometheus_asks_where_the_metrics_are() -> None:
    """The port of the metrics is one, and the service's address leaves it out."""
    notes = POD["metadata"]["annotations"]
    port = ENVIRONMENT["MODELSERVE_METRICS_PORT"]
    assert notes["prometheus.io/scrape"] == "true"
    assert port == notes["prometheus.io/port"] == str(PORTS["metrics"])
    assert {each["targetPort"] for each in BY_NAME["Service", "digits"]["spec"]["ports"]} == {
        "http"
    }
    [job] = yaml.safe_load((FOLDER / "monitoring" / "prometheus.yaml").read_text("utf-8"))[
        "scrape_configs"
    ]
    composed = COMPOSE["digits"]["environment"]["MODELSERVE_METRICS_PORT"]
    assert job["static_configs"][0]["targets"] == [f"digits:{composed}"]
    assert job["metrics_path"] == notes["prometheus.io/path"]


def test_readme_commands_name_what_there_is() -> None:
    """What README's docker and kubectl lines name exists."""
    root = FOLDER.parents[1]
    readme = FOLDER / "README.md"
    lines = [line for name in ("docker", "kubectl") for line, _ in commands(readme, name)]
    named = [word for line in lines for word in shlex.split(line) if "examples/" in word]
    assert len(named) == 3
    assert all((root / word).exists() for word in named)
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", readme.read_text("utf-8"))
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_pod_monitor_finds_the_pods() -> None:
    """The operator's PodMonitor chooses the pods, and asks them where the metrics are."""
    monitor = yaml.safe_load((FOLDER / "monitoring" / "podmonitor.yaml").read_text("utf-8"))["spec"]
    [endpoint] = monitor["podMetricsEndpoints"]
    labels = POD["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "digits"
    assert PORTS[endpoint["port"]] == PORTS["metrics"]
    assert endpoint["path"] == POD["metadata"]["annotations"]["prometheus.io/path"]
