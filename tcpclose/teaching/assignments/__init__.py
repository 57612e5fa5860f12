"""Programming work about connection release, a variant for each student, graded by behaviour."""
