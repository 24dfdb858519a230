"""docs/openapi.yaml: holds it against include/steno/commands.def, its examples, and answers of a real stenod."""
import json
import os
import re
import warnings

import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import jsonschema

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# Answered by the API itself, without a command.
OWN_ROUTES = {("get", "/openapi.json"): "openapi"}


class Fault(AssertionError):
    """The description and what is true differ."""


class _Loader(yaml.SafeLoader):
    """Times stay text, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path=None):
    with open(path or os.path.join(TOP, "docs/openapi.yaml"), encoding="utf-8") as f:
        return yaml.load(f, _Loader)


def commands():
    """{(method, path): (operationId, least role)} of include/steno/commands.def."""
    with open(os.path.join(TOP, "include/steno/commands.def"), encoding="utf-8") as f:
        rows = re.findall(r'^STENO_COMMAND\((\w+), "[^"]*", (\w+), \d, "(\w*)", "([^"]*)"', f.read(), re.M)
    return {(method.lower(), path): (name.lower(), role) for name, role, method, path in rows if method}


class Contract:
    """What the description promises. `tried` collects (method, path template, status) of what was validated."""

    def __init__(self, document=None):
        self.document = document or load()
        self.tried = set()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._resolver = jsonschema.RefResolver.from_schema(self.document)

    def resolve(self, item):
        while isinstance(item, dict) and set(item) == {"$ref"}:
            item = self._resolver.resolve(item["$ref"])[1]
        return item

    def check(self, schema, value, words):
        """Fault when the value is not as the schema says."""
        validator = jsonschema.Draft202012Validator(schema, resolver=self._resolver,
                                                    format_checker=jsonschema.FormatChecker())
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if error:
            raise Fault(f"{words}: /{'/'.join(map(str, error.absolute_path))}: {error.message[:600]}")

    # ---- the description alone --------------------------------------------------------------------------------------

    def operations(self):
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method, path, item[method], item.get("parameters", [])

    def check_routes(self):
        """Every command has its route here, with its name and need of credentials; and there are no others."""
        wanted = {route: name for route, (name, _) in commands().items()} | OWN_ROUTES
        found = {(method, path): operation["operationId"] for method, path, operation, _ in self.operations()}
        if wanted != found:
            raise Fault(f"missing: {set(wanted.items()) - set(found.items())}; "
                        f"unknown: {set(found.items()) - set(wanted.items())}")
        for method, path, operation, shared in self.operations():
            role = commands().get((method, path), ("", "NOBODY"))[1]
            security = operation.get("security", self.document["security"])
            if (role == "NOBODY") != (not security or {} in security):
                raise Fault(f"{method} {path}: security is {security}, but the least role is {role}")
            if role not in ("NOBODY",) and role.lower() not in operation["description"].lower():
                raise Fault(f"{method} {path}: the description does not tell the role, {role.lower()}")
            names = {p["name"] for p in map(self.resolve, shared) if p["in"] == "path"}
            if names != set(re.findall(r"{(\w+)}", path)):
                raise Fault(f"{method} {path}: its path's parameters are {names}")
            for wanted_status in ("default", "429"):
                if wanted_status not in operation["responses"]:
                    raise Fault(f"{method} {path}: no response {wanted_status}")

    def check_references(self):
        def walk(item):
            if isinstance(item, dict):
                if isinstance(item.get("$ref"), str):
                    self._resolver.resolve(item["$ref"])
                for value in item.values():
                    walk(value)
            elif isinstance(item, list):
                for value in item:
                    walk(value)
        walk(self.document)

    def check_problems(self):
        """Every slug of errors.def is a type that the schema of problems takes."""
        with open(os.path.join(TOP, "include/steno/base/errors.def"), encoding="utf-8") as f:
            rows = re.findall(r'^STENO_ERROR_ROW\(\w+, "([^"]*)", \d+, (\d+), "([^"]*)"', f.read(), re.M)
        for slug, status, words in rows:
            problem = {"type": f"urn:steno:problem:{slug}", "title": words, "status": int(status), "detail": "x"}
            self.check({"$ref": "#/components/schemas/Problem"}, problem, slug)
        return len(rows)

    def _contents(self, item, words):
        for type_, content in self.resolve(item).get("content", {}).items():
            if "schema" in content:
                yield content, f"{words} {type_}"

    def check_examples(self):
        """Every schema is one, and every example is what its schema says. Returns how many there are."""
        count = 0
        for name, schema in self.document["components"]["schemas"].items():
            jsonschema.Draft202012Validator.check_schema(schema)
            for example in schema.get("examples", []):
                self.check(schema, example, name)
                count += 1
        places = [(operation, f"{method} {path}", shared) for method, path, operation, shared in self.operations()]
        places += [(item["post"], f"webhook {name}", []) for name, item in self.document["webhooks"].items()]
        for operation, words, shared in places:
            for parameter in map(self.resolve, operation.get("parameters", []) + shared):
                if "example" in parameter:
                    self.check(parameter["schema"], parameter["example"], f"{words} {parameter['name']}")
                    count += 1
            bodies = [(operation["requestBody"], "request")] if "requestBody" in operation else []
            bodies += list((response, status) for status, response in operation.get("responses", {}).items())
            for body, which in bodies:
                for content, where in self._contents(body, f"{words} {which}"):
                    jsonschema.Draft202012Validator.check_schema(content["schema"])
                    for name, example in content.get("examples", {}).items():
                        self.check(content["schema"], self.resolve(example)["value"], f"{where} {name}")
                        count += 1
        return count

    # ---- real answers -----------------------------------------------------------------------------------------------

    def find(self, method, path):
        """The operation and path template of a request's path (without query)."""
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in item:
                return item[method.lower()], template
        raise Fault(f"{method} {path} is not described")

    def validate(self, method, path, status, body=None, content_type=None):
        """
        Holds an answer against the description: is the status one that is told, and the body (bytes, text, or what JSON made
        of it) as its schema says? content_type as in the header; JSON, or a problem, when it is not given.
        """
        operation, template = self.find("GET" if method.upper() == "HEAD" else method, path.split("?")[0])
        responses = operation["responses"]
        told = responses.get(str(status)) or (responses["default"] if status >= 400 else None)
        if told is None:
            raise Fault(f"{method} {path}: status {status} is not described")
        self.tried.add((method.lower(), template, status))
        contents = self.resolve(told).get("content", {})
        if not contents or method.upper() == "HEAD":
            if body not in (None, b"", ""):
                raise Fault(f"{method} {path}: {status} has a body: {body[:200]!r}")
            return
        kind = (content_type or "").split(";")[0].strip() or \
            ("application/problem+json" if status >= 400 else "application/json")
        content = contents.get(kind, contents.get("*/*"))
        if content is None:
            raise Fault(f"{method} {path}: {status} is {kind}, but described are: {', '.join(contents)}")
        if kind.endswith("json") and "schema" in content:
            value = json.loads(body) if isinstance(body, (bytes, str)) else body
            self.check(content["schema"], value, f"{method} {path}: {status}")
            if kind == "application/problem+json" and value["status"] != status:
                raise Fault(f"{method} {path}: the problem says {value['status']}, the answer {status}")

    def validate_event(self, event):
        """An event of SSE or a webhook (bytes, text or a dict)."""
        value = json.loads(event) if isinstance(event, (bytes, str)) else event
        self.check({"$ref": "#/components/schemas/Event"}, value, "event")

    def check_request(self, method, path, body):
        """Is the request's body one that the description allows?"""
        operation, _ = self.find(method, path.split("?")[0])
        self.check(operation["requestBody"]["content"]["application/json"]["schema"], body, f"{method} {path}")

    def untried(self):
        """The successful answers that validate() has not seen yet: [(method, path template, status)]."""
        promised = {(method, path, int(status)) for method, path, operation, _ in self.operations()
                    for status in operation["responses"] if status.isdigit() and int(status) < 300}
        return sorted(promised - self.tried)
