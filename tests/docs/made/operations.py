"""The page of the HTTP operations, from the OpenAPI document that the server itself gives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from tests.http.routes.test_openapi import _document

Json = dict[str, Any]


def text() -> str:
    """Return a section for each operation, and one for each model."""
    document = asyncio.run(_document())
    return "\n".join((*_operations(document), "## Models\n", *_models(document["components"]["schemas"])))


def _operations(document: Json) -> Iterator[str]:
    yield "## Operations\n"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"### `{method.upper()} {path}`\n"
            yield f"{_words(operation.get('description') or operation['summary'])}\n"
            yield from _given(operation)
            yield from _answers(operation["responses"])


def _given(operation: Json) -> Iterator[str]:
    rows = [(one["name"], one["in"], one["schema"], one) for one in operation.get("parameters", [])]
    if rows:
        yield "| parameter | in | type | |\n| --- | --- | --- | --- |"
        for name, where, schema, one in rows:
            must = "Required. " if one.get("required") else ""
            yield f"| `{name}` | {where} | {_type(schema)} | {must}{_cell(one.get('description', ''))} |"
        yield ""
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body: {_type(body['schema'])}, `{media}`.\n"


def _answers(responses: Json) -> Iterator[str]:
    yield "| status | answer | |\n| --- | --- | --- |"
    for status, response in responses.items():
        content = response.get("content", {})
        bodies = ", ".join(dict.fromkeys(_type(one.get("schema", {})) for one in content.values()))
        yield f"| {status} | {bodies} | {_cell(response['description'])} |"
    yield ""


def _models(schemas: Json) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n"
        if "description" in schema:
            yield f"{_words(schema['description'])}\n"
        if "enum" in schema:
            yield f"One of {', '.join(f'`{one}`' for one in schema['enum'])}.\n"
        if "properties" in schema:
            yield "| field | type | |\n| --- | --- | --- |"
            required = schema.get("required", [])
            for field, one in schema["properties"].items():
                must = "Required. " if field in required else ""
                yield f"| `{field}` | {_type(one)} | {must}{_cell(one.get('description', ''))} |"
            yield ""


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if any_of := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(one) for one in any_of))
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _words(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _words(text).replace("|", "\\|")
