"""Every setting of the service, documented once; each is an environment variable `DISTILLERY_<NAME>`.

A secret may lie in a file instead, which `DISTILLERY_<NAME>_FILE` names: an environment is shown by many tools.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

SECRETS = ("secret", "blob_access_key", "blob_secret_key")  # and whatever is called a password
_MAY_BE_EMPTY = ("blob_access_key", "blob_secret_key")


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the secrets of a process from the files that its environment names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of a secret's file without its line's end; SettingsError when it says nothing."""
        variable = f"DISTILLERY_{field_name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path or not (field_name in SECRETS or field_name.endswith("_password")):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable} and {variable}_FILE are both set; unset one of them.")
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}_FILE: {path} cannot be read ({type(error).__name__}).") from None
        if not text and field_name not in _MAY_BE_EMPTY:
            raise SettingsError(f"{variable}_FILE: {path} is empty.")
        return text, field_name, False

    def __call__(self) -> dict[str, Any]:
        """What was found."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class _FromEnvironment(BaseSettings):
    # The values hold passwords: an error about one of them must not show the others.
    model_config = SettingsConfigDict(env_prefix="DISTILLERY_", extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, and the files it names."""
        return init_settings, SecretFiles(settings_cls), env_settings


class DatabaseSettings(_FromEnvironment):
    """Where the database is: all that migrations and small commands need."""

    database_url: str = Field(description="SQLAlchemy address of Postgres, postgresql+psycopg://...")
    database_password: str = Field("", description="Its password; empty: the one in the address.")

    @model_validator(mode="after")
    def _complete_database_url(self) -> DatabaseSettings:
        self.database_url = with_password(self.database_url, self.database_password)
        return self


class Settings(DatabaseSettings):
    """The settings of one process; passed in, never read from a global."""

    broker_url: str = Field(description="Celery's broker, redis://... or redis+socket://...")
    broker_password: str = Field("", description="Its password; empty: the one in the address.")
    blob_dir: Path = Field(description="Folder of the content-addressed files; of copies of them, with blob_url.")
    staging_dir: Path = Field(description="Folder for files being written; same file system as blob_dir.")
    secret: str = Field(description="Signs page tokens; 32 random characters or more, the same everywhere.")

    blob_url: str = Field("", description="S3-like store of files, s3://bucket/prefix; empty: they lie in blob_dir.")
    blob_endpoint: str = Field("", description="Address of the S3-like store, https://...; empty: that of AWS.")
    blob_region: str = Field("us-east-1", description="Region of the S3-like store.")
    blob_access_key: str = Field("", description="Key of the S3-like store; empty: the environment's AWS credentials.")
    blob_secret_key: str = Field("", description="Secret of blob_access_key.")
    disk_reserve_bytes: int = Field(2_000_000_000, description="No upload or job begins with less free; 5 % at least.")
    blob_presigned: bool = Field(
        False,
        description="Let clients send and fetch files at the S3-like store by presigned URLs; they must reach it.",
    )
    blob_public_endpoint: str = Field("", description="Its address as clients reach it; empty: blob_endpoint.")
    presigned_upload_s: int = Field(900, description="A presigned URL for an upload is good for this long.")
    presigned_download_s: int = Field(300, description="A presigned URL for a download is good for this long.")
    presigned_download_bytes: int = Field(64_000_000, description="Smaller files come from the API all the same.")
    blob_cache_bytes: int = Field(20_000_000_000, description="Copies of files of the S3-like store kept in blob_dir.")

    otlp_endpoint: str = Field(
        "",
        description="OpenTelemetry collector for traces, http://host:4318; empty: OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    alive_file: str = Field("", description="File a dispatcher or worker touches as it goes round; empty: none.")

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8080, description="Port the API listens on.")
    listen_fd: int = Field(
        -1, description="Descriptor of a listening socket that the API inherits; -1: it opens one at host and port."
    )
    metrics_open: bool = Field(True, description="Serve /metrics without an API key.")
    requests_at_once: int = Field(2, description="Requests of one tenant that an API process works on at once.")
    open_requests: int = Field(300, description="Requests of one tenant that an API process has open, streams too.")
    open_requests_total: int = Field(
        800, description="Requests of all tenants that it has open, of 1000 connections; /healthz, /readyz not counted."
    )
    open_streams: int = Field(100, description="Event streams of one tenant that an API process has open.")
    open_streams_total: int = Field(500, description="Event streams of all tenants that it has open.")
    statement_s: float = Field(30.0, description="Postgres ends a statement of the API after this; 0: never.")
    database_pool: int = Field(10, description="Connections an API process keeps.")

    upload_limit_bytes: int = Field(2_000_000_000, description="Largest single uploaded file.")
    upload_limit: int = Field(1_000, description="Most unfinished resumable uploads of one tenant.")
    upload_keep_s: float = Field(86_400.0, description="A resumable upload is forgotten this long after its last byte.")
    json_limit_bytes: int = Field(1_000_000, description="Largest JSON request body.")
    header_limit_bytes: int = Field(16_384, description="Largest sum of request headers.")
    header_s: float = Field(10.0, description="Time a connection has for each request's head, idle time included.")
    body_stall_s: float = Field(
        30.0, description="Longest wait for the next bytes of a request body, or for a client to read some."
    )
    connections_per_address: int = Field(
        600, description="Connections of one address to an API process, of 1000 in all; 0, no limit: behind a proxy."
    )

    outbound_ports: str = Field("443,8443", description="Ports webhooks and imports may reach; * is every port.")
    outbound_http: bool = Field(False, description="Let webhooks and imports use http; for closed networks.")
    outbound_private: bool = Field(False, description="Let webhooks and imports reach private addresses; as above.")
    webhook_every_s: float = Field(1.0, description="How often webhook messages that are due are looked for.")
    webhook_slots: int = Field(8, description="Webhook endpoints a dispatcher sends to at the same time.")
    webhook_endpoints: int = Field(20, description="Most webhook endpoints of one tenant.")
    webhook_keep_s: float = Field(2_592_000.0, description="Webhook messages are forgotten after this.")
    import_enabled: bool = Field(False, description="Allow POST /v1/datasets:import, which fetches files from the web.")
    import_limit_bytes: int = Field(2_000_000_000, description="Largest file that is imported.")
    import_s: float = Field(600.0, description="Time in which an import must have arrived.")
    import_slots: int = Field(2, description="Imports an API process fetches at the same time.")

    ingest_decoded_bytes: int = Field(8_000_000_000, description="Most bytes an upload may decode to.")
    ingest_rows: int = Field(200_000_000, description="Most rows of an upload.")
    ingest_text_cell_bytes: int = Field(1_000_000, description="Largest text cell of an upload.")
    ingest_columns: int = Field(4_096, description="Most columns of an uploaded table.")
    ingest_archive_entries: int = Field(200_000, description="Most entries of an uploaded zip.")
    ingest_id_bytes: int = Field(1_024, description="Longest user or item id of an upload.")
    ingest_text_ratio: int = Field(200, description="Compressed text may decode to this many times its size.")
    ingest_text_slack_bytes: int = Field(10_000_000, description="Compressed text may decode to this much more.")

    queues: str = Field("cpu,io", description="Queues a worker serves, comma separated: cpu, gpu, io.")
    slots: int = Field(1, description="Jobs a worker runs at the same time, not counting those of the queue io.")
    io_slots: int = Field(1, description="Jobs of the queue io, uploads that are read, a worker runs beside them.")
    device: str = Field("auto", description="Device of a worker's children: auto, cpu or cuda.")
    devices: str = Field("", description="Devices a worker announces, comma separated: cpu, cuda; empty: those found.")
    credentials_file: str = Field(
        "", description="JSON file of credentials by name, for methods that need them; read by workers; empty: none."
    )
    threads: int = Field(0, description="CPU threads of a child; 0 leaves it to the machine.")
    memory_limit_mb: int = Field(8_192, description="Memory a job may use when its limits name none.")
    executor: Literal["local", "ray"] = Field(
        "local", description="Where passes over a large dataset run: local (this machine's processes) or ray."
    )
    executor_processes: int = Field(
        1,
        ge=0,
        description="Processes of such a pass; local with 1: the job's own. 0: one a processor.",
    )
    ray_address: str = Field(
        "", description="Ray cluster for executor ray, host:6379; empty: the job starts one on its own machine."
    )
    warm_spare: bool = Field(True, description="Keep a process with everything imported, of which children are forks.")
    spare_idle_s: float = Field(600.0, description="That process is given up after this without a job; 0: never.")

    lease_s: float = Field(20.0, description="How long a claim holds without a heartbeat.")
    heartbeat_s: float = Field(5.0, description="How often a worker renews its leases.")
    reap_every_s: float = Field(2.0, description="How often expired leases are looked for.")
    reap_grace_s: float = Field(2.0, description="How long past its lease a job is left alone.")
    dispatch_every_s: float = Field(1.0, description="How often queued jobs are looked for without a hint.")
    probe_every_s: float = Field(30.0, description="How often each idle worker is asked whether it takes messages.")
    probe_silence_s: float = Field(120.0, description="An idle worker that took none for this long starts again.")
    republish_s: float = Field(10.0, description="A queued job's hint is sent again after this.")
    retry_pause_s: float = Field(5.0, description="Pause after a full disk or an absent store; doubled each time.")
    checkpoint_every_s: float = Field(10.0, description="Least time between two checkpoints of a job; 0 writes all.")
    stop_grace_s: float = Field(10.0, description="Time a child has to write a last checkpoint before SIGKILL.")
    cancel_grace_s: float = Field(1.2, description="Time a cancelled child has to end by itself before SIGKILL.")
    shutdown_grace_s: float = Field(25.0, description="Time a stopping worker waits for its children.")
    blob_grace_s: float = Field(86_400.0, description="An unreferenced blob is deleted after this.")
    idempotency_s: float = Field(86_400.0, description="How long an Idempotency-Key is remembered.")
    queue_limit: int = Field(100, description="Most queued jobs of one tenant.")
    running_limit: int = Field(
        0, description="Most running jobs of one tenant, uploads that are read counted apart; 0: no limit."
    )
    job_s_limit: int = Field(43_200, description="Most seconds that limits.time_s or evaluate_s may ask for.")
    job_memory_mb_limit: int = Field(65_536, description="Most memory that limits.memory_mb may ask for.")
    queue_total_limit: int = Field(
        1_000, description="Most queued jobs of all tenants, of which one has half at most; 0: no limit."
    )
    dataset_limit: int = Field(
        10_000, description="Most datasets of one tenant, deleted and exported ones not counted."
    )
    quota_stored_bytes: int = Field(
        500_000_000_000, description="Most bytes that may lie on the disk for one tenant; 0: no limit."
    )
    quota_gpu_s_per_day: float = Field(
        0.0, description="Seconds in 24 h that one tenant's jobs may hold GPUs; 0: no limit."
    )
    key_limit: int = Field(1_000, description="Most API keys of one tenant, revoked ones too while they are listed.")
    rate_limit_per_s: float = Field(200.0, description="Requests a second of one tenant; 0: no limit.")
    rate_limit_burst: int = Field(400, description="Requests of one tenant at once, when it was quiet before.")

    sweep_every_s: float = Field(600.0, description="How often what is kept no longer is looked for.")
    deleted_keep_s: float = Field(604_800.0, description="Files of deleted datasets and summaries are kept this long.")
    failed_keep_s: float = Field(
        604_800.0,
        description="A dataset none of whose versions could be read is deleted this long after the last try; 0: never.",
    )
    checkpoint_keep_s: float = Field(604_800.0, description="Resume points are kept this long after the end of a job.")
    event_keep_s: float = Field(0.0, description="Events are kept this long after the end of a job; 0: for ever.")
    audit_keep_s: float = Field(
        31_536_000.0, ge=2_592_000.0, description="Entries of the audit log are kept this long; 30 days at least."
    )
    job_keep_s: float = Field(
        7_776_000.0,
        ge=86_400.0,
        description="Ended jobs of which no summary, report or version is left are kept this long; a day at least.",
    )

    @model_validator(mode="after")
    def _complete_broker_url(self) -> Settings:
        self.broker_url = with_password(self.broker_url, self.broker_password)
        return self


def with_password(address: str, password: str) -> str:
    """An address with this password in the place of its own; as it is when there is none to put in."""
    if not password:
        return address
    where = urlsplit(address)
    account, _, host = where.netloc.rpartition("@")
    user = account.partition(":")[0]
    return where._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()
