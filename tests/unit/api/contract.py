#!/usr/bin/python3
"""docs/openapi.yaml alone: routes, references, problem types, examples; and that a wrong one would be seen."""
import copy
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib"))
from steno_test import openapi  # noqa: E402


def must_fail(words, function, *arguments):
    try:
        function(*arguments)
    except openapi.Fault:
        return
    raise SystemExit(f"contract: {words} was not seen")


contract = openapi.Contract()
contract.check_references()
contract.check_routes()
types = contract.check_problems()
examples = contract.check_examples()

broken = copy.deepcopy(contract.document)
del broken["paths"]["/v1/recordings/{id}"]["patch"]
must_fail("a missing route", openapi.Contract(broken).check_routes)
broken = copy.deepcopy(contract.document)
broken["components"]["examples"]["queued"]["value"]["counts"]["frames"] = "0"
must_fail("a wrong example", openapi.Contract(broken).check_examples)
completed = contract.document["components"]["examples"]["completed"]["value"]
path = "/v1/recordings/" + completed["id"]
contract.validate("GET", path, 200, completed)
must_fail("a missing member", contract.validate, "GET", path, 200, {k: v for k, v in completed.items() if k != "state"})
must_fail("an unknown member", contract.validate, "GET", path, 200, {**completed, "colour": "blue"})
must_fail("a time that is none", contract.validate, "GET", path, 200, {**completed, "created_at": 5})
must_fail("an unknown status", contract.validate, "GET", path, 202, completed)
must_fail("a problem of another status", contract.validate, "GET", path, 404,
          {"type": "urn:steno:problem:not-found", "title": "x", "status": 403, "detail": "x"})
print(f"contract: {len(list(contract.operations()))} routes, {types} problem types, {examples} examples")
