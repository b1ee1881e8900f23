"""/v1/datasets/{id}/upload-urls: where clients send files to the S3-like store themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from starlette.responses import Response

from app.api.answers import answer
from app.api.direct_uploads import admit
from app.api.documented import refusals
from app.api.problems import Problem
from app.api.routes.datasets import existing
from app.api.schemas.datasets import UploadUrl, UploadUrls, UploadUrlsWanted
from app.api.security import DatasetWriter
from app.api.transactions import TransactionRoute

router = APIRouter(prefix="/v1/datasets/{dataset_id}/upload-urls", tags=["files"], route_class=TransactionRoute)


@router.post(
    "",
    response_model=UploadUrls,
    responses=refusals("not_found", "invalid_path", "duplicate_file", "unsupported", "quota_exceeded"),
    summary="Get presigned upload URLs",
)
def create_upload_urls(caller: DatasetWriter, dataset_id: str, body: UploadUrlsWanted) -> Response:
    """Addresses to PUT files to, each for these very bytes and for some minutes; then commit, and name them.

    Only where the files lie in an S3-like store and the service says so; elsewhere 422 `unsupported`.
    """
    existing(caller, dataset_id)
    services = caller.services
    if services.direct is None:
        raise Problem(
            "unsupported",
            "This service gives out no presigned URLs.",
            hint=f"PUT /v1/datasets/{dataset_id}/files/NAME, or POST /v1/uploads for what is to be resumable.",
        )
    caller.note("file.upload_url", dataset_id)
    admit(caller.conn, services, caller.tenant_id, dataset_id, body.files)
    expires_s = services.settings.presigned_upload_s
    expires_at = datetime.now(UTC) + timedelta(seconds=expires_s)
    files: list[UploadUrl] = []
    for file in body.files:
        put = services.direct.upload(dataset_id, file.sha256, file.size, expires_s)
        files.append(UploadUrl(path=file.path, method="PUT", url=put.url, headers=put.headers, expires_at=expires_at))
    return answer(UploadUrls(files=files), headers={"Cache-Control": "no-store"})
