from __future__ import annotations

from tests.faults.conftest import stores

__all__ = ["stores"]
