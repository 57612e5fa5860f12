"""Claims are modules beside the tests: pytest is told, so that it explains their asserts too."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("claims", *(path.stem for path in Path(__file__).parent.glob("claims_*.py")))
