"""What an operator sees of a running service: metrics, traces, logs.

Nothing is imported here, since each needs an extra of its own: ``prometheus`` and ``http`` need ``api``, ``tracing``
does without ``otel``, and ``logs`` needs nothing.
"""
