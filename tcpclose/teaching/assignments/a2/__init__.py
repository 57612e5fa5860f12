"""Assignment A2: the release of a small TCP, written as a program, and graded by what it does."""

from __future__ import annotations

from tcpclose.teaching.assignments.a2.giving import files
from tcpclose.teaching.assignments.a2.grading import grade
from tcpclose.teaching.assignments.a2.variant import NAME
from tcpclose.teaching.assignments.catalogue import TITLES
from tcpclose.teaching.assignments.grades import Assignment

ASSIGNMENT = Assignment(NAME, TITLES[NAME], "release.py", files, grade, foreign=True)
