#!/usr/bin/python3
"""Turns docs/openapi.yaml into a C file with the same as compact JSON. Usage: embed_openapi.py YAML VERSION C-FILE"""
import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    """Dates stay the text that they are in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

with open(sys.argv[1], encoding="utf-8") as source:
    document = yaml.load(source, Loader)
document["info"]["version"] = sys.argv[2]
data = (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
lines = [",".join(str(byte) for byte in data[at:at + 32]) for at in range(0, len(data), 32)]
with open(sys.argv[3], "w", encoding="ascii") as out:
    out.write('#include "server.h"\n\nstatic const unsigned char document[] = {\n' + ",\n".join(lines) + "};\n\n"
              "const char *openapi_json(gsize *bytes)\n{\n    *bytes = sizeof(document);\n"
              "    return (const char *)document;\n}\n")
