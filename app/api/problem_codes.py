"""Every problem code: its HTTP status, its title, and one sentence that says what it means and what to do.

Codes of requests and of jobs that failed share this list, so that /problems/<code> explains both.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One code. `status`: of the answer; for codes only jobs end with, the status such a request would get."""

    status: int
    title: str
    meaning: str


CODES: dict[str, Code] = {
    # the request itself
    "malformed_request": Code(400, "Malformed request", "The request is not well-formed HTTP or contains a NUL."),
    "malformed_json": Code(400, "Malformed JSON", "The body is not JSON in UTF-8."),
    "invalid_page": Code(
        400, "Invalid page", "The page size is negative, or the page token is not one this list gave for these filters."
    ),
    "unknown_parameter": Code(
        400, "Unknown parameter", "The query has a parameter that this address does not take; see /docs."
    ),
    "unauthenticated": Code(401, "API key needed", "Send a valid key as `Authorization: Bearer dsk_...`."),
    "forbidden": Code(403, "Scope missing", "The API key lacks a scope that this route needs."),
    "quota_exceeded": Code(
        403, "Quota exceeded", "The tenant stores or computes as much as it may; see GET /v1/usage."
    ),
    "import_disabled": Code(
        403, "Import disabled", "Whoever runs the service has not allowed imports (DISTILLERY_IMPORT_ENABLED)."
    ),
    "not_found": Code(404, "Not found", "There is nothing at this address that this API key may see."),
    "method_not_allowed": Code(405, "Method not allowed", "The address exists but does not take this HTTP method."),
    "request_timeout": Code(408, "Request too slow", "The body came in too slowly; send it again."),
    "idempotency_in_progress": Code(
        409, "Still being answered", "A request with this Idempotency-Key is being answered; send it again shortly."
    ),
    "dataset_in_use": Code(
        409, "Dataset in use", "Unfinished jobs read this dataset; cancel them, or delete with ?force=true."
    ),
    "last_admin_key": Code(
        409,
        "Last admin key",
        "No key with the scope admin would be left; make one first and use ?keep_made=true, or insist by ?force=true.",
    ),
    "duplicate_file": Code(409, "Duplicate file", "Another file has the same path in other letter case."),
    "webhook_exists": Code(409, "Webhook exists", "There is an endpoint of this address already."),
    "webhook_disabled": Code(409, "Webhook disabled", "Nothing is sent to a disabled endpoint; enable it first."),
    "upload_offset_conflict": Code(
        409, "Wrong offset", "The upload goes on at another byte; HEAD it and send from its Upload-Offset."
    ),
    "upload_expired": Code(410, "Upload expired", "The upload was left alone for too long; begin a new one."),
    "tus_version": Code(412, "Protocol version", "Send `Tus-Resumable: 1.0.0`."),
    "precondition_failed": Code(
        412, "Precondition failed", "The resource changed since it was read; read it again and repeat the change."
    ),
    "payload_too_large": Code(413, "Payload too large", "The body is larger than this route takes."),
    "unsupported_media_type": Code(415, "Unsupported media type", "Send JSON as `Content-Type: application/json`."),
    "range_not_satisfiable": Code(416, "Range not satisfiable", "The file ends before the range begins."),
    "invalid_request": Code(422, "Invalid request", "Fields of the request are missing or have wrong values."),
    "invalid_path": Code(
        422, "Invalid path", "File paths have letters, digits and . _ @ + - in at most nine parts between slashes."
    ),
    "checksum_mismatch": Code(
        422, "Checksum mismatch", "The bytes that arrived are not those the digest was made of; send them again."
    ),
    "idempotency_key_reused": Code(
        422, "Idempotency key reused", "This Idempotency-Key was sent with another body; use a fresh key."
    ),
    "unknown_file": Code(422, "Unknown file", "The dataset has no such file; upload it first."),
    "no_files": Code(422, "No files", "The dataset has no files to make a version of; upload some first."),
    "upload_locked": Code(423, "Upload in progress", "Another request is writing this upload; try again shortly."),
    "precondition_required": Code(428, "If-Match needed", "Send the ETag you read last as If-Match."),
    "rate_limited": Code(429, "Too many requests", "The tenant asks too often; wait as long as Retry-After says."),
    "too_many_open": Code(
        429, "Too much open", "The tenant has as many requests or event streams open as it may; close some."
    ),
    "upload_checksum_mismatch": Code(
        460, "Checksum mismatch", "The bytes that arrived are not those of Upload-Checksum; send them again."
    ),
    "headers_too_large": Code(431, "Headers too large", "The sum of the request headers is too large."),
    "unsafe_url": Code(
        422, "Address refused", "It must be https, on an allowed port, and each address of its host must be public."
    ),
    "import_failed": Code(422, "Import failed", "The address did not answer with a whole file."),
    "import_busy": Code(429, "Too many imports", "As many imports as may are under way; try again shortly."),
    # jobs that are not accepted
    "unknown_webhook": Code(422, "Unknown webhook", "There is no such webhook endpoint."),
    "unknown_kind": Code(422, "Unknown kind", "No worker announced this kind of data; the hint names those there are."),
    "unknown_method": Code(422, "Unknown method", "No worker announced this method for this kind; see /v1/methods."),
    "unknown_dataset": Code(422, "Unknown dataset", "There is no such dataset version."),
    "unknown_summary": Code(422, "Unknown summary", "There is no such summary."),
    "dataset_not_ready": Code(409, "Dataset not ready", "The version is still being ingested, or its ingest failed."),
    "kind_mismatch": Code(422, "Kind mismatch", "The method is for another kind of data."),
    "task_mismatch": Code(422, "Task mismatch", "The method does another task; leave `task` out."),
    "invalid_params": Code(422, "Invalid parameters", "A parameter does not fit the method's schema at /v1/methods."),
    "missing_input": Code(422, "Missing input", "The method needs a further input."),
    "unsupported_device": Code(422, "Unsupported device", "The method cannot run on this device, or none is here."),
    "job_not_finished": Code(409, "Job not finished", "Only a finished job can be retried or deleted; cancel or wait."),
    "not_retryable": Code(409, "Not retryable", "This job cannot be retried; commit the dataset again instead."),
    "queue_full": Code(429, "Queue full", "Too many jobs are waiting; try again when some have finished."),
    # jobs that fail
    "invalid_input": Code(422, "Invalid input", "The data cannot be read as what it was declared to be."),
    "unknown_column": Code(422, "Unknown column", "The file has no such column; map the columns it has."),
    "unsupported": Code(422, "Unsupported", "This combination of data and options is not supported."),
    "too_few_rows": Code(422, "Too few rows", "The data is too small for this method or split."),
    "no_supported_action": Code(
        422, "No supported action", "In some context the logging policy could take none of the policy's actions."
    ),
    "logging_policy_required": Code(
        422, "Logging policy needed", "The logged propensities are not enough here; upload the whole logging policy."
    ),
    "non_numeric_label": Code(422, "Label not numeric", "The label column must hold numbers."),
    "limit_too_large": Code(422, "Limit too large", "The job asks for more time or memory than jobs may have here."),
    "budget_too_large": Code(422, "Budget too large", "The budget exceeds what the dataset has."),
    "budget_too_small": Code(422, "Budget too small", "The budget is below the smallest summary of this method."),
    "too_few_rounds": Code(
        422, "Too few rounds", "The log has too few rounds, or too few users to hold some out, for this method."
    ),
    "embedding_required": Code(
        422, "Action embeddings needed", "This method or model needs action_embeddings; upload them or choose another."
    ),
    "single_class_reward": Code(
        422, "One reward class", "All rewards are of one class, so there is nothing to tell apart; use ridge or none."
    ),
    "weights_bound_required": Code(
        422, "Weight bound needed", "This interval needs w_max, a bound of the weights that is known beforehand."
    ),
    "reward_bounds_required": Code(
        422, "Reward bounds needed", "This interval needs r_min and r_max, declared bounds of the reward."
    ),
    "unsafe_format": Code(
        422, "Unsafe format", "Files that can carry code (pickle, .pt, joblib) are refused; export to Parquet or CSV."
    ),
    "decoded_too_large": Code(
        422, "Decoded too large", "The file decodes to more than a DISTILLERY_INGEST_* limit allows."
    ),
    "timeout": Code(422, "Time limit reached", "The job ran longer than limits.time_s; raise it or shrink the work."),
    "diverged": Code(422, "Diverged", "The optimisation left the range of finite numbers; lower the learning rate."),
    "out_of_memory": Code(422, "Out of memory", "The job needed more memory than limits.memory_mb."),
    "model_unavailable": Code(
        422, "Model unavailable", "The language model is not set up here, or its server does not answer."
    ),
    "model_unsuitable": Code(422, "Model unsuitable", "The language model has no single token for yes or no."),
    "logprobs_unsupported": Code(
        422, "No probabilities", "The language model gives no probabilities of its answers; ask for grades or votes."
    ),
    "cost_limit": Code(422, "Cost limit reached", "The job would take more money or tokens than it may."),
    "cancelled": Code(409, "Cancelled", "The job was cancelled and left no result."),
    "worker_lost": Code(500, "Worker lost", "The worker died each time it tried this job."),
    # logs of decisions
    "propensity_missing": Code(
        422,
        "Propensity missing",
        "Rounds lack the probability of the logged action; give it, or set estimate_propensity.",
    ),
    "propensity_nonpositive": Code(
        422, "Propensity not positive", "A logged action has probability 0 or less, so it could not have been logged."
    ),
    "propensity_above_one": Code(422, "Propensity above one", "A propensity is above 1; it is a probability."),
    "propensity_mismatch": Code(
        422, "Propensity mismatch", "Propensities differ from the logging policy's probabilities of the logged actions."
    ),
    "policy_not_normalised": Code(
        422, "Policy not normalised", "Probabilities of a policy do not sum to 1 in each row; or set renormalise."
    ),
    "target_policy_required": Code(
        422, "Target policy required", "Name policies of the dataset to evaluate, or upload one beside the log."
    ),
    "action_out_of_range": Code(
        422, "Action out of range", "A table names an action that does not exist, or the parts differ in their number."
    ),
    "nan_reward": Code(422, "Reward missing", "A reward is missing, NaN or infinite; remove the round or say 0."),
    "embedding_missing_action": Code(
        422, "Embedding missing", "An action has no row in the embeddings or the hierarchy; add one for every action."
    ),
    "dense_too_large": Code(
        422, "Dense table too large", "A table of rounds x actions is too large; upload it sparse or grouped."
    ),
    "timestamps_overlap_split": Code(
        422, "Split overlaps in time", "Rounds for training are later than test rounds, or times are too coarse to cut."
    ),
    # the service
    "internal": Code(500, "Internal error", "The service made a mistake; report it with the request_id."),
    "corrupt_blob": Code(500, "Stored file damaged", "A stored file no longer has the bytes it was stored with."),
    "database_unavailable": Code(503, "Database unavailable", "The database cannot be asked now; try again shortly."),
    "store_unavailable": Code(503, "Store unavailable", "The file store cannot be reached now; try again shortly."),
    "busy": Code(503, "Busy", "This process has as many requests open as it can; try again shortly."),
    "stopping": Code(503, "Stopping", "This process is being stopped; connect again."),
    "disk_full": Code(507, "Disk full", "The disk of the worker is full."),
    "insufficient_storage": Code(507, "Insufficient storage", "The service has too little disk left for uploads."),
}  # fmt: skip
