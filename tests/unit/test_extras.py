"""What an import says whose library is not installed."""

from __future__ import annotations

from importlib import import_module

import pytest

from persistence.extras import needing


def test_the_extra_is_named():
    """The error stays the one of an import, with the library's name, and says what to install."""
    said = r'library absent is not .* pip install "diptych\[api]"'
    with pytest.raises(ModuleNotFoundError, match=said) as raised, needing("api"):
        import_module("absent")
    assert raised.value.name == "absent"


def test_the_outer_block_is_heard():
    """Where what needs one extra imports what needs another, the one that brings both is named."""
    with pytest.raises(ModuleNotFoundError, match=r"diptych\[mcp]") as raised, needing("mcp"), needing("api"):
        import_module("absent")
    assert raised.value.name == "absent"


def test_a_module_of_ours_is_no_library():
    """A module of ours that is not there is a defect of ours, which no extra would mend."""
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'persistence\.absent'"), needing("api"):
        import_module("persistence.absent")
