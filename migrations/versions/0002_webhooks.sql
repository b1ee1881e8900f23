-- Webhooks: who is told, which job names whom, and every message until it is delivered.

CREATE TABLE webhook_endpoint (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    url TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    events TEXT[] NOT NULL,
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    disabled_reason TEXT,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_endpoint PRIMARY KEY (id),
    CONSTRAINT fk_webhook_endpoint_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE INDEX ix_webhook_endpoint_page ON webhook_endpoint (tenant_id, created_at, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX uq_webhook_endpoint_url ON webhook_endpoint (tenant_id, url) WHERE deleted_at IS NULL;

CREATE TABLE job_webhook (
    job_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    CONSTRAINT pk_job_webhook PRIMARY KEY (job_id, endpoint_id),
    CONSTRAINT fk_job_webhook_job_id_job FOREIGN KEY(job_id) REFERENCES job (id),
    CONSTRAINT fk_job_webhook_endpoint_id_webhook_endpoint FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoint (id),
    CONSTRAINT fk_job_webhook_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id)
);

CREATE TABLE webhook_delivery (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    event TEXT NOT NULL,
    job_id TEXT,
    body TEXT NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    attempt INTEGER DEFAULT '0' NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    last_status INTEGER,
    last_error TEXT,
    last_at TIMESTAMP WITH TIME ZONE,
    delivered_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_webhook_delivery PRIMARY KEY (id),
    CONSTRAINT fk_webhook_delivery_tenant_id_tenant FOREIGN KEY(tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_webhook_delivery_endpoint_id_webhook_endpoint FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoint (id),
    CONSTRAINT ck_webhook_delivery_state CHECK (state IN ('pending','delivered','failed')),
    CONSTRAINT ck_webhook_delivery_pending_has_a_time CHECK ((state = 'pending') = (next_at IS NOT NULL))
);

CREATE INDEX ix_webhook_delivery_due ON webhook_delivery (next_at) WHERE state = 'pending';
CREATE INDEX ix_webhook_delivery_page ON webhook_delivery (endpoint_id, created_at, id);
