"""Which backends? From what is wanted and what is there to a truth and a graph, with the reasons.

``recommend`` is pure; ``probe`` looks at the machine for it; ``settled`` decides where a URL is ``auto``.
"""

from persistence.choosing.auto import settled
from persistence.choosing.facts import Facts, Server
from persistence.choosing.options import Option
from persistence.choosing.probing import probe
from persistence.choosing.recommending import Recommendation, recommend

__all__ = ["Facts", "Option", "Recommendation", "Server", "probe", "recommend", "settled"]
