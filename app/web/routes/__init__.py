"""The pages' addresses, in the order in which they are looked through."""

from app.web.routes import account, compare, datasets, front, jobs, methods, new_job, sign_in, static, status, summaries

ROUTERS = tuple(
    module.router
    for module in (static, sign_in, datasets, new_job, jobs, summaries, compare, methods, account, status, front)
)
