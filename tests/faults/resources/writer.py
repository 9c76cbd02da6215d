"""A service on a machine of its own: ``python -m tests.faults.resources.writer JSON``, with that machine's clock.

It writes memories that are its own, and some that others write too, and says what was acknowledged last of each.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

from tests.faults.resources.limited import KINDS
from tests.faults.stores import ALICE, draft

OWN, SHARED = 30, 12


async def main(task: dict[str, Any]) -> None:
    """Write, one after another."""
    rng, own, shared = random.Random(task["name"]), {}, {f"s{number:04}": [0, None] for number in range(SHARED)}
    stores = KINDS[task["kind"]](**task["stores"])
    async with stores.service(enable_relay=True, write_timeout=30) as memories:
        for number in range(task["writes"]):
            mine = rng.random() < 0.5
            name = f"{task['name']}{rng.randrange(OWN):04}" if mine else rng.choice(sorted(shared))
            content = None if rng.random() < 0.25 else f"{number} of {task['name']}"
            if content is None:
                result = await memories.delete(name, user_id=ALICE)
            else:
                result = await memories.store(**draft(rng.randrange(50), id=name, content=content))
            if mine:
                own[name] = content
            elif result.changed:
                shared[name] = [result.version, content]
    os.write(1, f"{json.dumps({'own': own, 'shared': shared, 'wall': time.time()})}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
