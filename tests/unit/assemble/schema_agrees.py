"""Reads lines of {"lawful": bool, "manifest": any}: does docs/manifest.schema.json say the same of each?"""
import json
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed", file=sys.stderr)
    sys.exit(77)

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
validator = jsonschema.Draft202012Validator(schema)
validator.check_schema(schema)
wrong = lawful = unlawful = 0
with open(sys.argv[2], encoding="utf-8") as file:
    for line in file:
        row = json.loads(line)
        says = validator.is_valid(row["manifest"])
        lawful += says
        unlawful += not says
        if says != row["lawful"]:
            wrong += 1
            print("schema:", says, "program:", row["lawful"], row["what"])
print(lawful, "lawful,", unlawful, "unlawful,", wrong, "not agreed on")
sys.exit(1 if wrong or not lawful or not unlawful else 0)
