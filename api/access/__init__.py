"""Who may do what: principals with scopes, API keys, tokens. HTTP API, dashboard and MCP server ask here."""

from api.access.principal import ADMIN, LOCAL, READ, WRITE, Denied, Principal, Scope, Unauthenticated, Undecided

__all__ = ["ADMIN", "LOCAL", "READ", "WRITE", "Denied", "Principal", "Scope", "Unauthenticated", "Undecided"]
