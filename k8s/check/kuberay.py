"""KubeRay's definitions, made into one strict JSON Schema: `python -m k8s.check.kuberay FOLDER`.

FOLDER holds `ray.io_*.yaml` of one release of KubeRay (ray-project/kuberay, Apache-2.0). Descriptions are
left out, unknown fields are refused, and parts that occur more than once, such as pods, stand in ``$defs``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from k8s.check.schemas import KUBERAY

VERSION = "v1"
WORTH_SHARING = 200  # characters


def compact(folder: Path) -> dict[str, Any]:
    """The schemas of all kinds by name, and what they share."""
    kinds = {}
    for file in sorted(folder.glob("ray.io_*.yaml")):
        definition = yaml.load(
            file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        [schema] = [v["schema"] for v in definition["spec"]["versions"] if v["name"] == VERSION]
        kinds[definition["spec"]["names"]["kind"]] = strict(schema["openAPIV3Schema"])
    counts = Counter(text for schema in kinds.values() for text in _parts(schema))
    repeated = sorted((text for text, n in counts.items() if n > 1), key=len)
    names = {text: f"p{number}" for number, text in enumerate(repeated)}
    definitions = {name: _shared(json.loads(text), names, top=True) for text, name in names.items()}
    return {"kinds": {kind: _shared(schema, names) for kind, schema in kinds.items()}, "$defs": definitions}


def strict(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """As JSON Schema, without descriptions, refusing unknown fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: strict(each) for name, each in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if key not in ("description", "format", "default")
        and (key == "properties" or not key.startswith("x-"))
    }
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in found and "additionalProperties" not in found and not open_ended:
        found["additionalProperties"] = False
    return found


def _parts(schema: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(schema, list):
        for item in schema:
            yield from _parts(item)
    elif isinstance(schema, dict):
        text = json.dumps(schema, sort_keys=True)
        if schema.get("type") and len(text) > WORTH_SHARING:
            yield text
        for value in schema.values():
            yield from _parts(value)


def _shared(schema: Any, names: dict[str, str], *, top: bool = False) -> Any:  # noqa: ANN401
    if isinstance(schema, list):
        return [_shared(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    name = None if top else names.get(json.dumps(schema, sort_keys=True))
    return (
        {"$ref": f"#/$defs/{name}"} if name else {key: _shared(value, names) for key, value in schema.items()}
    )


if __name__ == "__main__":
    text = json.dumps(compact(Path(sys.argv[1])), sort_keys=True, separators=(",", ":"))
    KUBERAY.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
