"""Set-up elsewhere: the container, the workflow, the citation."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import cmo_tf
from tests.support.program import ROOT


def instructions() -> list[tuple[str, str]]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def test_the_container_copies_what_is_there_and_runs_as_a_user():
    words = [word for word, _ in instructions()]
    assert words[0] == "FROM" and words[-2:] == ["ENTRYPOINT", "CMD"] and "USER" in words
    ignored = (ROOT / ".dockerignore").read_text().split()
    sources = [source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]]
    assert {"cmo_tf", "flags", "requirements.txt"} <= set(sources) and not set(sources) & set(ignored)
    assert all((ROOT / source).exists() for source in sources)
    version = re.search(r"FROM python:(\d\.\d+)", (ROOT / "Dockerfile").read_text())[1]
    assert f"requires-python = \">={version}" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.slow
def test_the_container_answers():
    """Where a Docker daemon runs."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker daemon")
    subprocess.run(["docker", "build", "-t", "cmo-tf-test", "."], cwd=ROOT, check=True)
    ended = subprocess.run(["docker", "run", "--rm", "cmo-tf-test"], capture_output=True, text=True, check=True)
    assert "--flagfile" in ended.stdout


def test_the_workflow_calls_the_checks():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert ".ci/run" in steps and Path(ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_citation_names_paper_and_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == cmo_tf.__version__ and citation["license"] == "Apache-2.0"
    assert citation["preferred-citation"]["authors"][0]["family-names"] == "Park"
