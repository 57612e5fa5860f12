"""Labs as lessons: questions whose answers are computed, sheets, marks, and what courses want of them."""
