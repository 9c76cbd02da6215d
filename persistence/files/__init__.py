"""Stores in memory made durable: a log of what changed, snapshots that shorten it, and a lock around both."""

from persistence.files.keeper import Keeper, Step
from persistence.files.policy import FilePolicy
from persistence.files.source import Capture, Faults, Source

__all__ = ["Capture", "Faults", "FilePolicy", "Keeper", "Source", "Step"]
