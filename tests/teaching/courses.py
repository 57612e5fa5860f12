"""The forms of what courses' systems are given, as these systems document them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# ---- Gradescope: https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format

Visibility = Literal["hidden", "after_due_date", "after_published", "visible"]
Format = Literal["text", "html", "simple_format", "md", "ansi"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class GradescopeTest(Strict):
    score: float | None = None
    max_score: float | None = None
    status: Literal["passed", "failed"] | None = None
    name: str | None = None
    name_format: Format = "text"
    number: str | None = None
    output: str | None = None
    output_format: Format = "text"
    tags: list[str] = []
    visibility: Visibility = "visible"
    extra_data: dict[str, Any] = {}


class GradescopeResults(Strict):
    score: float | None = None
    execution_time: int | None = None
    output: str | None = None
    output_format: Format = "text"
    test_output_format: Format = "text"
    test_name_format: Format = "text"
    visibility: Visibility = "visible"
    stdout_visibility: Visibility = "visible"
    extra_data: dict[str, Any] = {}
    tests: list[GradescopeTest] = []
    leaderboard: list[dict[str, Any]] = []


# ---- INGInious: what its `inginious_container_api.feedback` writes


class Feedback(Strict):
    result: Literal["success", "failed", "timeout", "overflow", "crash", "killed"]
    grade: Annotated[float, Field(ge=0, le=100)]
    text: str
    problems: dict[Annotated[str, Field(pattern=r"^[a-zA-Z0-9_\-]+$")], tuple[Literal["success", "failed"], str]] = {}
