"""Every metric there is: its name, what it says, by what it is told apart. The reference is made of these.

Labels take few values, all of them known: never an id, a tenant, a path, a text. Times are in seconds. What was not
obtained is left out; 0 means that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """As in the exposition format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


#: Seconds; from a read in memory to a call that a deadline of a minute ends.
CALLS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Seconds; from a quick check of a small store to a rebuild of a large one.
RUNS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. ``name`` is as it is declared: a counter is exposed with ``_total`` behind it."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = CALLS

    @property
    def exposed(self) -> tuple[str, ...]:
        """The names of its series."""
        if self.type is Type.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (f"{self.name}_total",) if self.type is Type.COUNTER else (self.name,)


# --- the service ----------------------------------------------------------------------------------------------------

WRITES = Metric(
    "diptych_writes",
    Type.COUNTER,
    "Memories that were written or deleted, by how that ended: in_step, pending, rolled_back, superseded; refused, "
    "unknown and failed count calls.",
    ("operation", "outcome"),
)
READS = Metric(
    "diptych_reads",
    Type.COUNTER,
    "Calls that read, by how they ended: ok, degraded (the graph's part is missing), refused, unknown, failed.",
    ("operation", "outcome"),
)
CALL_SECONDS = Metric(
    "diptych_call_duration_seconds", Type.HISTOGRAM, "Time of a call on the service, from end to end.", ("operation",)
)
CALL_FAILURES = Metric(
    "diptych_call_failures", Type.COUNTER, "Calls on the service that raised.", ("operation", "error")
)
CALL_SUCCESS = Metric(
    "diptych_call_last_success_timestamp_seconds",
    Type.GAUGE,
    "When a call on the service last came to its end without an error.",
    ("operation",),
)

# --- the stores, the embedder, the extractor ------------------------------------------------------------------------

STORE_SECONDS = Metric(
    "diptych_store_call_duration_seconds",
    Type.HISTOGRAM,
    "Time of one attempt at one call on a store (truth, graph); operation settle is what takes entries out of the "
    "outbox.",
    ("store", "operation"),
)
STORE_FAILURES = Metric(
    "diptych_store_call_failures",
    Type.COUNTER,
    "Attempts at a call on a store that raised.",
    ("store", "operation", "error"),
)
STORE_SUCCESS = Metric(
    "diptych_store_call_last_success_timestamp_seconds", Type.GAUGE, "When a store last answered a call.", ("store",)
)
RETRIES = Metric("diptych_retries", Type.COUNTER, "Calls on a store that were made again.", ("store", "error"))
MODEL_SECONDS = Metric(
    "diptych_model_call_duration_seconds",
    Type.HISTOGRAM,
    "Time of one call on the embedder or the extractor.",
    ("model",),
)
MODEL_FAILURES = Metric(
    "diptych_model_call_failures",
    Type.COUNTER,
    "Calls on the embedder or the extractor that raised.",
    ("model", "error"),
)
MODEL_TEXTS = Metric(
    "diptych_model_texts", Type.COUNTER, "Texts that were given to the embedder or the extractor.", ("model",)
)
BREAKER_CHANGES = Metric(
    "diptych_breaker_changes",
    Type.COUNTER,
    "Times that the breaker before the graph changed, by its state then.",
    ("state",),
)

# --- the relay and the sync -----------------------------------------------------------------------------------------

RELAY_ENTRIES = Metric(
    "diptych_relay_entries",
    Type.COUNTER,
    "Outbox entries that the relay took: applied, failed (attempts); dead are those given up among the failed.",
    ("outcome",),
)
RELAY_SECONDS = Metric("diptych_relay_batch_duration_seconds", Type.HISTOGRAM, "Time of one batch of the relay.")
RELAY_FAILURES = Metric(
    "diptych_relay_batch_failures",
    Type.COUNTER,
    "Batches of the relay that truth did not let come to an end.",
    ("error",),
)
RELAY_SUCCESS = Metric(
    "diptych_relay_last_success_timestamp_seconds",
    Type.GAUGE,
    "When the relay last brought an entry in step; NaN: not since this process began.",
)
RUNS_ENDED = Metric(
    "diptych_runs",
    Type.COUNTER,
    "Checks, repairs, rebuilds and full syncs that this process led, by the state that it left them in.",
    ("kind", "depth", "state"),
)
RUN_SECONDS = Metric("diptych_run_duration_seconds", Type.HISTOGRAM, "Time of a run.", ("kind", "depth"), RUNS)
RUN_FOUND = Metric(
    "diptych_run_inconsistencies", Type.COUNTER, "Inconsistencies that runs found, by their kind.", ("inconsistency",)
)
RUN_SUCCESS = Metric(
    "diptych_run_last_success_timestamp_seconds",
    Type.GAUGE,
    "When a run that this process led was last done.",
    ("kind", "depth"),
)

# --- the state of the stores, read when it is asked for -------------------------------------------------------------

STATE_SUCCESS = Metric(
    "diptych_state_last_success_timestamp_seconds",
    Type.GAUGE,
    "When the state of the stores was last read in full; NaN: never. What could not be read is left out.",
)
STORE_UP = Metric(
    "diptych_store_up",
    Type.GAUGE,
    "1 where a store answered a probe, 0 where it did not; none where there is no store.",
    ("store",),
)
STORE_PING = Metric("diptych_store_ping_seconds", Type.GAUGE, "Time of the probe that a store answered.", ("store",))
OUTBOX_ENTRIES = Metric(
    "diptych_outbox_entries",
    Type.GAUGE,
    "Memories in doubt: pending, dead. Counted up to a bound of 10,000, at which more may be there.",
    ("state",),
)
OUTBOX_AGE = Metric(
    "diptych_outbox_oldest_age_seconds", Type.GAUGE, "Age of the oldest entry of the outbox; 0: it is empty."
)
OPEN = Metric(
    "diptych_inconsistencies_open",
    Type.GAUGE,
    "Inconsistencies that were found and are not mended; none where no check was ever finished.",
    ("inconsistency",),
)
CHECK_AT = Metric(
    "diptych_check_last_timestamp_seconds",
    Type.GAUGE,
    "When a check of all tenants at this depth was last finished, by whichever process.",
    ("depth",),
)
CHECK_COMPLETE = Metric(
    "diptych_check_last_complete", Type.GAUGE, "1 where that check could read everything, else 0.", ("depth",)
)
CHECK_FOUND = Metric("diptych_check_last_inconsistencies", Type.GAUGE, "What that check found.", ("depth",))
RUNNING = Metric("diptych_runs_running", Type.GAUGE, "Runs that are under way now, up to 100.")
BREAKER_OPEN = Metric(
    "diptych_breaker_open", Type.GAUGE, "1 where the graph is left alone because of an outage, else 0."
)
POOL = Metric(
    "diptych_pool_connections",
    Type.GAUGE,
    "Connections to a store: idle, used; limit is how many there may be.",
    ("store", "state"),
)
POOL_WAITING = Metric("diptych_pool_waiting", Type.GAUGE, "Calls that wait for a connection to a store.", ("store",))

# --- the HTTP API ---------------------------------------------------------------------------------------------------

HTTP_REQUESTS = Metric(
    "diptych_http_requests",
    Type.COUNTER,
    "Requests, by the template of their route and the class of their status; aborted: the client left before.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Metric(
    "diptych_http_request_duration_seconds", Type.HISTOGRAM, "Time of a request, to the last byte.", ("method", "route")
)
HTTP_RUNNING = Metric("diptych_http_requests_running", Type.GAUGE, "Requests that are being answered now.")

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
