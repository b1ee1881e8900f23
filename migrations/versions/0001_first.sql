-- The first schema. Tables as in app/store/tables.py (a test compares them); the triggers below have no Python twin.

CREATE TABLE blob (
    sha256 TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_blob PRIMARY KEY (sha256),
    CONSTRAINT ck_blob_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$')
);


CREATE TABLE method (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    task TEXT NOT NULL,
    summary TEXT NOT NULL,
    paper TEXT NOT NULL,
    params_schema JSONB DEFAULT '{}'::jsonb NOT NULL,
    evaluate_schema JSONB DEFAULT '{}'::jsonb NOT NULL,
    device TEXT NOT NULL,
    queue TEXT NOT NULL,
    cost JSONB DEFAULT '{}'::jsonb NOT NULL,
    inputs JSONB DEFAULT '[]'::jsonb NOT NULL,
    announced_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_method PRIMARY KEY (kind, name)
);


CREATE TABLE tenant (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tenant PRIMARY KEY (id),
    CONSTRAINT uq_tenant_name UNIQUE (name)
);


CREATE TABLE worker (
    id TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    queues TEXT[] NOT NULL,
    capabilities JSONB DEFAULT '{}'::jsonb NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_probe_at TIMESTAMP WITH TIME ZONE,
    stopped_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_worker PRIMARY KEY (id)
);


CREATE TABLE api_key (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_key PRIMARY KEY (id),
    CONSTRAINT fk_api_key_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);


CREATE TABLE artifact (
    owner TEXT NOT NULL,
    path TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_artifact PRIMARY KEY (owner, path),
    CONSTRAINT fk_artifact_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_artifact_sha256_blob FOREIGN KEY(sha256) REFERENCES blob (sha256)
);

CREATE INDEX ix_artifact_sha256 ON artifact (sha256);

CREATE TABLE dataset (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    columns JSONB DEFAULT '{}'::jsonb NOT NULL,
    options JSONB DEFAULT '{}'::jsonb NOT NULL,
    tags JSONB DEFAULT '{}'::jsonb NOT NULL,
    revision INTEGER DEFAULT '1' NOT NULL,
    latest_version INTEGER DEFAULT '0' NOT NULL,
    summary_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_dataset PRIMARY KEY (id),
    CONSTRAINT fk_dataset_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_dataset_page ON dataset (tenant_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE idempotency_key (
    api_key_id TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    status INTEGER,
    response JSONB,
    headers JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_key PRIMARY KEY (api_key_id, route, key),
    CONSTRAINT fk_idempotency_key_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);


CREATE TABLE dataset_version (
    dataset_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    tenant_id TEXT NOT NULL,
    state TEXT DEFAULT 'ingesting' NOT NULL,
    content_sha256 TEXT,
    job_id TEXT,
    manifest JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ready_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_dataset_version PRIMARY KEY (dataset_id, number),
    CONSTRAINT ck_dataset_version_state CHECK (state IN ('ingesting','ready','failed')),
    CONSTRAINT ck_dataset_version_ready_has_content CHECK (state <> 'ready' OR content_sha256 IS NOT NULL),
    CONSTRAINT fk_dataset_version_dataset_id_dataset FOREIGN KEY(dataset_id) REFERENCES dataset (id),
    CONSTRAINT fk_dataset_version_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);


CREATE TABLE job (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    task TEXT NOT NULL,
    kind TEXT NOT NULL,
    method TEXT NOT NULL,
    method_version INTEGER NOT NULL,
    dataset_id TEXT NOT NULL,
    dataset_version INTEGER NOT NULL,
    inputs JSONB DEFAULT '{}'::jsonb NOT NULL,
    params JSONB DEFAULT '{}'::jsonb NOT NULL,
    evaluate JSONB DEFAULT '{}'::jsonb NOT NULL,
    seed BIGINT DEFAULT '0' NOT NULL,
    device TEXT DEFAULT 'auto' NOT NULL,
    limits JSONB DEFAULT '{}'::jsonb NOT NULL,
    labels JSONB DEFAULT '{}'::jsonb NOT NULL,
    priority INTEGER DEFAULT '0' NOT NULL,
    deterministic BOOLEAN DEFAULT false NOT NULL,
    force BOOLEAN DEFAULT false NOT NULL,
    queue TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    state TEXT DEFAULT 'queued' NOT NULL,
    available_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    attempt INTEGER DEFAULT '0' NOT NULL,
    fence BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    worker_id TEXT,
    cancel_requested_at TIMESTAMP WITH TIME ZONE,
    degrade INTEGER DEFAULT '0' NOT NULL,
    progress JSONB DEFAULT '{}'::jsonb NOT NULL,
    last_seq BIGINT DEFAULT '0' NOT NULL,
    checkpoint JSONB,
    error JSONB,
    result JSONB,
    cost JSONB,
    environment JSONB,
    cached_from TEXT,
    retry_of TEXT,
    api_key_id TEXT,
    request_id TEXT,
    traceparent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_job PRIMARY KEY (id),
    CONSTRAINT fk_job_dataset_id_dataset_version_dataset_version FOREIGN KEY(dataset_id, dataset_version) REFERENCES dataset_version (dataset_id, number),
    CONSTRAINT ck_job_state CHECK (state IN ('queued','running','cancelling','succeeded','failed','cancelled')),
    CONSTRAINT ck_job_owned_jobs_hold_a_lease CHECK ((state IN ('running','cancelling')) = (lease_until IS NOT NULL)),
    CONSTRAINT ck_job_finished_jobs_have_a_time CHECK ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT ck_job_failed_jobs_say_why CHECK (state <> 'failed' OR error IS NOT NULL),
    CONSTRAINT fk_job_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_job_claimable ON job (queue, priority DESC, created_at) WHERE state = 'queued';
CREATE INDEX ix_job_dataset ON job (dataset_id, dataset_version);
CREATE INDEX ix_job_finished_input ON job (tenant_id, input_hash) WHERE state = 'succeeded';
CREATE INDEX ix_job_lease ON job (lease_until) WHERE state IN ('running','cancelling');
CREATE INDEX ix_job_page ON job (tenant_id, created_at, id);
CREATE UNIQUE INDEX uq_job_live_input ON job (tenant_id, input_hash) WHERE state IN ('queued','running') AND NOT force;

CREATE TABLE job_attempt (
    job_id TEXT NOT NULL,
    fence BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    exit_code INTEGER,
    phase TEXT,
    peak_rss_mb FLOAT,
    cpu_s FLOAT,
    CONSTRAINT pk_job_attempt PRIMARY KEY (job_id, fence),
    CONSTRAINT fk_job_attempt_job_id_job FOREIGN KEY(job_id) REFERENCES job (id),
    CONSTRAINT fk_job_attempt_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);


CREATE TABLE job_event (
    job_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    type TEXT NOT NULL,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_job_event PRIMARY KEY (job_id, seq),
    CONSTRAINT fk_job_event_job_id_job FOREIGN KEY(job_id) REFERENCES job (id),
    CONSTRAINT fk_job_event_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE UNIQUE INDEX uq_job_event_one_success ON job_event (job_id) WHERE type = 'succeeded';

CREATE TABLE report (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    summary_id TEXT,
    verdict JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_report PRIMARY KEY (id),
    CONSTRAINT fk_report_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT uq_report_job_id UNIQUE (job_id),
    CONSTRAINT fk_report_job_id_job FOREIGN KEY(job_id) REFERENCES job (id)
);


CREATE TABLE summary (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    method TEXT NOT NULL,
    content_sha256 TEXT NOT NULL,
    dataset_id TEXT,
    report_id TEXT,
    manifest JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_summary PRIMARY KEY (id),
    CONSTRAINT fk_summary_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT uq_summary_job_id UNIQUE (job_id),
    CONSTRAINT fk_summary_job_id_job FOREIGN KEY(job_id) REFERENCES job (id)
);



-- The life of a job (service states): no other move exists, whoever writes it. A terminal state is never left.
CREATE FUNCTION job_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence < OLD.fence OR NEW.last_seq < OLD.last_seq OR NEW.attempt < OLD.attempt - 1 THEN
        RAISE EXCEPTION 'job %: fence, last_seq and attempt never go back', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('queued', 'running'), ('queued', 'cancelled'),
        ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelling'), ('running', 'queued'),
        ('cancelling', 'cancelled'), ('cancelling', 'failed')
    ) THEN
        RAISE EXCEPTION 'job %: % cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER job_guard BEFORE UPDATE ON job FOR EACH ROW EXECUTE FUNCTION job_guard();

-- Events are history: they are only ever added, each one number after the last.
CREATE FUNCTION job_event_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'job events are never changed' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.seq <> (SELECT last_seq FROM job WHERE id = NEW.job_id) THEN
        RAISE EXCEPTION 'job %: event % is not the next one', NEW.job_id, NEW.seq USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_notify('job_event', NEW.job_id);
    RETURN NEW;
END $$;
CREATE TRIGGER job_event_guard BEFORE INSERT OR UPDATE ON job_event FOR EACH ROW EXECUTE FUNCTION job_event_guard();
