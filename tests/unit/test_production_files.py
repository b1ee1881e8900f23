"""Dockerfile and docker-compose.yml against the code: every command, variable, path, stage and version exists."""

from __future__ import annotations

import re
import runpy
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from app.main import create_app, undecided
from app.settings import DatabaseSettings, Settings
from app.store.roles import RoleSettings
from deploy import images
from deploy.write_secrets import write
from tests.compose import ROOT, compose, exec_form, filled_in, lineage, ours, stage_environment, stages

SERVICES = compose()["services"]
OURS = ours()
POSTGRES = SERVICES["postgres"]["environment"]
IMAGE_VARIABLES = dict.fromkeys(("PYTHON_IMAGE", "POSTGRES_IMAGE", "VALKEY_IMAGE"), "some:tag@sha256:" + "0" * 64)
FIELDS = set(Settings.model_fields) | set(RoleSettings.model_fields)
each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))
each_image = pytest.mark.parametrize("name", ["api", "worker"])


def paths() -> set[str]:
    return set(create_app(undecided()).openapi()["paths"])


def check_command(words: list[str]) -> None:
    """A `python -m module` of ours that runs something when it is run."""
    assert words[:2] == ["python", "-m"]
    spec = find_spec(words[2])
    assert spec is not None, words[2]
    assert spec.origin is not None
    with open(spec.origin) as source:
        assert 'if __name__ == "__main__":' in source.read(), f"{words[2]} does nothing when run"


def check_health(words: list[str], port: str, environment: dict[str, Any]) -> None:
    check_command(words)
    if len(words) == 3:
        assert environment["DISTILLERY_ALIVE_FILE"].startswith("/tmp/"), "everything else is read-only"
        return
    where = urlsplit(words[3])
    assert str(where.port) == port
    assert where.path in paths()


def environment_of(name: str) -> dict[str, str]:
    given = {key: filled_in(value, {}) for key, value in SERVICES[name]["environment"].items()}
    return {**stage_environment(SERVICES[name]["build"]["target"]), **given}


# --- the compose file ---


def test_services_when_listed_then_all_parts_of_the_service_are_there():
    workers = {"worker-cpu", "worker-gpu", "worker-io"}
    assert set(SERVICES) == {"api", "dispatcher", "migrate", "postgres", "redis", "roles", *workers}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    assert not [name for name in SERVICES if name != "worker-gpu" and "profiles" in SERVICES[name]]


@each_of_ours
def test_command_when_run_then_it_is_a_program_of_ours(name: str):
    check_command(OURS[name]["command"])


@each_of_ours
def test_environment_when_read_then_it_is_a_complete_configuration(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for key, value in environment_of(name).items():
        if value.startswith("/run/secrets/"):
            secret = value.rpartition("/")[2]
            assert secret in SERVICES[name]["secrets"], f"{name} is not given {secret}"
            (tmp_path / secret).write_text(f"{secret}-content\n")
            value = str(tmp_path / secret)
        monkeypatch.setenv(key, value)
    given = {key.removeprefix("DISTILLERY_").lower() for key in environment_of(name) if key.startswith("DISTILLERY_")}
    assert {field.removesuffix("_file") if field not in FIELDS else field for field in given} <= FIELDS
    postgres = "postgresql+psycopg://{}@postgres:5432/distillery"
    application = postgres.format("distillery_app:postgres_application-content")
    owner = postgres.format("distillery_owner:postgres_owner-content")
    if name == "roles":
        roles = RoleSettings()  # pyright: ignore[reportCallIssue]
        superuser = postgres.format(f"{POSTGRES['POSTGRES_USER']}:postgres_superuser-content")
        assert (roles.superuser_url, roles.owner_url, roles.database_url) == (superuser, owner, application)
    elif name == "migrate":
        assert DatabaseSettings().database_url == owner  # pyright: ignore[reportCallIssue]
    else:
        settings = Settings()  # pyright: ignore[reportCallIssue]
        assert settings.database_url == application
        assert settings.broker_url == "redis://:redis-content@redis:6379/0"
        assert (settings.secret, settings.blob_secret_key) == ("signing-content", "blob_secret_key-content")
        assert {str(settings.blob_dir), str(settings.staging_dir)} == {"/data/blobs", "/data/staging"}


@each_service
def test_secrets_when_services_are_listed_then_each_has_those_it_needs_and_none_stands_in_an_environment(name: str):
    service = SERVICES[name]
    environment = {key: str(value) for key, value in service["environment"].items()} if name != "redis" else {}
    for key, value in environment.items():
        if re.search("PASSWORD|SECRET", key):
            assert key.endswith("_FILE"), f"{name}: {key}"
            assert value.startswith("/run/secrets/"), f"{name}: {key}"
        assert not re.search(r"://[^/@]*:[^/@]*@", value), f"{name}: a password in {key}"
    used = set(re.findall(r"/run/secrets/(\w+)", str(service)))
    assert used == set(service["secrets"]), "it is given no more than it reads"
    assert used <= set(compose()["secrets"])
    assert ("postgres_superuser" in used) == (name in ("postgres", "roles"))
    assert ("postgres_owner" in used) == (name in ("migrate", "roles"))


def test_secrets_when_made_then_they_are_those_of_compose_and_only_their_owner_comes_to_them(tmp_path: Path):
    folder = tmp_path / "secrets"
    made = write(folder)
    assert set(made) == set(compose()["secrets"])
    assert {filled_in(one["file"], {}) for one in compose()["secrets"].values()} == {f"./secrets/{one}" for one in made}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}, "containers' accounts read them"
    contents = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(set(contents.values())) == len(contents)
    assert all(len(text) == 48 for name, text in contents.items() if name != "blob_secret_key")
    (folder / "redis").chmod(0o644)
    (folder / "redis").write_text("mine")
    (folder / "signing").unlink()
    assert write(folder) == ["signing"]
    assert (folder / "redis").read_text() == "mine"


def test_secrets_when_broken_off_then_none_is_left_that_is_only_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, text: str, **_: object) -> int:
        path.write_bytes(text[:5].encode())
        raise OSError("no space")

    with monkeypatch.context() as at:
        at.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space"):
            write(tmp_path)
    made = write(tmp_path)
    assert set(made) == set(compose()["secrets"])
    assert {path.name for path in tmp_path.iterdir()} == set(made)
    assert len((tmp_path / made[0]).read_text()) == 48
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


@each_of_ours
def test_service_when_run_then_it_has_no_rights_it_does_not_need(name: str):
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["tmpfs"] == ["/tmp"]
    assert service["volumes"] == ([] if name in ("migrate", "roles") else ["files:/data"])
    assert not service.get("privileged")


@each_service
def test_service_when_run_then_it_gains_no_privileges_and_may_stop_in_peace(name: str):
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= 15
    assert service["restart"] == ("no" if name in ("migrate", "roles") else "unless-stopped")


@each_service
def test_service_when_run_then_its_memory_cores_and_processes_are_limited_and_only_two_reach_the_outside(name: str):
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", filled_in(service["mem_limit"], {}))
    assert 0 < float(filled_in(service["cpus"], {})) <= 4
    assert service["pids_limit"] <= 1024
    assert ("outside" in service["networks"]) == (name in ("api", "dispatcher"))
    assert "inside" in service["networks"]
    assert compose()["networks"]["inside"] == {"internal": True}


@each_service
def test_health_check_when_asked_then_it_is_ours_or_the_engines(name: str):
    check = SERVICES[name]["healthcheck"]
    if name in ("migrate", "roles"):
        assert check == {"disable": True}
    elif name in OURS:
        assert check["test"][0] == "CMD"
        environment = environment_of(name)
        check_health(check["test"][1:], environment.get("DISTILLERY_PORT", ""), environment)
    else:
        assert any(tool in " ".join(check["test"]) for tool in ("pg_isready", "valkey-cli | grep -q PONG"))


@each_of_ours
def test_service_when_it_starts_then_it_waits_for_the_schema_and_the_engines(name: str):
    waits = {other: how["condition"] for other, how in OURS[name]["depends_on"].items()}
    assert waits["postgres"] == "service_healthy"
    if name == "migrate":
        assert waits["roles"] == "service_completed_successfully"
    elif name != "roles":
        assert waits["migrate"] == "service_completed_successfully"
        assert waits["redis"] == "service_healthy"


def test_grace_periods_when_compared_with_the_settings_then_are_long_enough():
    settings = Settings.model_fields
    worker = max(settings["shutdown_grace_s"].default, settings["stop_grace_s"].default)
    for name in ("worker-cpu", "worker-io", "worker-gpu"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= worker + 10


def test_queues_when_put_together_then_every_queue_is_served():
    served = {
        queue for name in OURS for queue in str(OURS[name]["environment"].get("DISTILLERY_QUEUES", "")).split(",")
    }
    assert served - {""} == {"cpu", "io", "gpu"}
    assert OURS["worker-gpu"]["environment"]["DISTILLERY_SLOTS"] == 1


def test_broker_when_run_then_it_keeps_its_file_and_drops_nothing():
    command = SERVICES["redis"]["command"][-1].replace("\\\n", "")
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "requirepass $$(cat /run/secrets/redis)" in command


def test_volumes_when_used_then_declared_and_the_engines_publish_no_port():
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(compose()["volumes"])
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["api"]
    assert filled_in(SERVICES["api"]["ports"][0], {}).startswith("127.0.0.1:")


def test_example_of_variables_when_read_then_it_names_those_of_the_compose_file_and_no_others():
    named = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / "docs" / "production.env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert named <= used, named - used
    assert used - named <= {*IMAGE_VARIABLES, "IMAGE_TAG", "DISTILLERY_METRICS_OPEN"}


# --- the Dockerfile ---


@each_of_ours
def test_build_when_looked_up_then_its_stage_and_arguments_exist(name: str):
    build = OURS[name]["build"]
    assert build["target"] in stages()
    declared = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert set(build.get("args", {})) <= declared


def test_copies_when_looked_up_then_every_source_exists_and_reaches_the_build():
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    for stage in stages().values():
        for text in stage.all("COPY"):
            words = text.split()
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in stages()
                continue
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignore, f"{source} is not sent to the build"


def test_copies_when_compared_with_the_wheel_then_every_package_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {word for text in stages()["build-api"].all("COPY") for word in text.split()[:-1]}
    assert set(packages) <= copied
    assert {"pyproject.toml", project["project"]["readme"]} <= copied


def test_versions_when_compared_with_the_project_then_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = images.variables(images.TAGS)["PYTHON_IMAGE"]
    assert python == f"python:{project['requires-python'].removeprefix('>=')}-slim"
    for service in OURS.values():
        assert filled_in(service["image"], {}).rpartition(":")[2] == project["version"]


def locks_of(name: str) -> set[str]:
    """The locks that a stage and those it is built on install."""
    runs = " ".join(text for stage in lineage(name) for text in stage.all("RUN"))
    return set(re.findall(r"-r \"?deploy/lock/([\w.${}-]+)", runs))


def test_installs_when_read_then_each_is_from_a_lock_or_of_what_was_built_here():
    for stage in stages().values():
        for text in stage.all("RUN"):
            for command in re.split(r"&&", text):
                words = command.split()
                if "install" in words and any(word.endswith("pip") for word in words):
                    locked = "--require-hashes" in words and "-r" in words
                    assert locked or {"--no-index", "/dist/*.whl"} <= set(words), command
                    assert "--no-deps" in words, command
                if "wheel" in words and any(word.endswith("pip") for word in words):
                    assert {"--no-build-isolation", "--no-deps"} <= set(words), "what builds it is in the lock"


def test_images_when_built_then_only_the_worker_has_torch():
    assert locks_of("build-api") == {"api.txt", "build.txt"}
    assert locks_of("build-worker") == {"api.txt", "build.txt", "worker.txt", "torch-${TORCH}.txt"}
    assert [text.split()[0] for text in stages()["api"].all("COPY")] == ["--from=build-api"]
    assert [text.split()[0] for text in stages()["worker"].all("COPY")] == ["--from=build-worker"]


@each_image
def test_image_when_run_then_not_as_root_and_its_commands_exist(name: str):
    stage = stages()[name]
    (user,) = stage.all("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    check_command(exec_form(stage.all("CMD")[0]))
    environment = stage_environment(name)
    (health,) = stage.all("HEALTHCHECK")
    check_health(exec_form(health), environment.get("DISTILLERY_PORT", ""), environment)
    fields = {f"DISTILLERY_{field.upper()}" for field in Settings.model_fields}
    assert {key for key in environment if key.startswith("DISTILLERY_")} <= fields
    assert environment["HOME"] == "/tmp"


def test_health_program_when_it_runs_then_the_exit_code_tells(tmp_path, monkeypatch: pytest.MonkeyPatch):
    def code(*arguments: str) -> object:
        monkeypatch.setattr("sys.argv", ["health", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "app" / "health.py"), run_name="__main__")
        return ended.value.code

    monkeypatch.setenv("DISTILLERY_ALIVE_FILE", str(tmp_path / "alive"))
    assert code() == 1
    (tmp_path / "alive").touch()
    assert code() == 0
    assert code("http://127.0.0.1:9/healthz") == 1


def test_settings_when_a_secret_is_missing_then_a_process_does_not_start(monkeypatch: pytest.MonkeyPatch):
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET"):
        monkeypatch.delenv(f"DISTILLERY_{name}", raising=False)
    with pytest.raises(ValidationError):
        Settings()  # pyright: ignore[reportCallIssue]
