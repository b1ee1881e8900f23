from __future__ import annotations

import inspect

import pytest

from app.api.problem_codes import CODES
from distillery import errors


def test_codes_when_they_have_a_class_then_the_service_knows_them() -> None:
    assert not (set(errors.API_ERRORS) | set(errors.JOB_ERRORS)) - set(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_problem_when_code_is_documented_then_error_is_of_its_status_branch(code: str) -> None:
    status = CODES[code].status
    error = errors.of_problem({"status": status, "code": code, "detail": "d"})
    branches = {401: errors.AuthenticationError, 403: errors.PermissionDenied, 404: errors.NotFound}
    branches |= {409: errors.Conflict, 412: errors.Conflict, 429: errors.TooManyRequests}
    expected = branches.get(status, errors.ServerError if status >= 500 else errors.InvalidRequest)
    assert isinstance(error, expected)
    assert error.code == code


@pytest.mark.parametrize("name", ["BudgetTooLarge", "BudgetTooSmall"])
def test_budget_when_refused_early_or_late_then_is_one_error_to_catch(name: str) -> None:
    code = "budget_too_" + name[9:].lower()
    early = errors.of_problem({"status": 422, "code": code, "detail": "d", "hint": "h"})
    late = errors.of_job({"id": "job_1", "state": "failed", "error": {"code": code, "detail": "d", "hint": "h"}})
    for error in (early, late):
        assert isinstance(error, getattr(errors, name))
        assert (str(error), error.hint) == ("d", "h")


def test_tree_when_walked_then_every_error_is_a_documented_distillery_error() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    assert all(issubclass(one, errors.DistilleryError) and one.__doc__ for one in classes)
    named = set(errors.API_ERRORS.values()) | set(errors.JOB_ERRORS.values())
    branches = [one for one in classes if one not in named]
    assert all(one.__name__ in (errors.__doc__ or "") for one in branches)


def test_class_when_it_has_a_code_then_its_docstring_names_it() -> None:
    for code, one in {**errors.API_ERRORS, **errors.JOB_ERRORS}.items():
        assert f"`{code}`" in (one.__doc__ or "")
