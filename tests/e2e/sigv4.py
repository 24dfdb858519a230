"""The signer of S3 requests against botocore's: the same requests, the same signatures."""
import datetime
import hashlib
import json
import os
import random
import subprocess
from unittest import mock
from urllib.parse import urlsplit

from steno_test import steno
from steno_test.case import Skip

LIGHT = 5
SEED = 20261122
REQUESTS = 1000  # by header, and as many by query
PRINTABLE = "".join(map(chr, range(0x20, 0x7f)))
OTHERS = "é ß 試 ሴ \U0001f600 \u00a0 \u0301".split(" ")
PARAMETERS = ["uploads", "uploadId", "partNumber", "prefix", "list-type", "max-keys", "continuation-token", "versionId",
              "response-content-disposition", "a", "A", "a-b", "a.b", "é", "key with space"]
TOOL = os.path.join(steno.BUILD, "bin", "sign-tool")


def text(rng, least, most):
    """Any printable ASCII character, now and then something longer in UTF-8."""
    return "".join(rng.choice(OTHERS) if rng.random() < 0.1 else rng.choice(PRINTABLE) for _ in range(rng.randint(least, most)))


def path_of(rng, number):
    if number == 0:
        return "/bucket/" + PRINTABLE
    if number < 1 + len(PRINTABLE):
        return "/b/" + PRINTABLE[number - 1] + "/x"
    steps = [rng.choice(["", ".", "..", "a+b", "c=d", "e f", "~", text(rng, 1, 12)]) for _ in range(rng.randint(0, 5))]
    return "/bucket/" + "/".join(steps)


def request_of(rng, number):
    headers = [("Host", rng.choice(["s3.example", "b.s3.example:9000", "127.0.0.1:7480"]))]
    taken = {"host", "x-amz-date"}
    for _ in range(rng.randint(0, 6)):
        name = rng.choice(["x-amz-meta-", "X-Amz-Meta-", "Content-Type", "x-amz-tagging", "x-amz-acl", "Content-MD5"])
        if name.lower().endswith("meta-"):
            name += rng.choice(["a", "a-b", "ab", "b", "sha256", "z9"])
        if name.lower() in taken:
            continue
        taken.add(name.lower())
        # Header values are ASCII on the wire; spaces of any length inside and around.
        value = "".join(rng.choice(PRINTABLE + "    ") for _ in range(rng.randint(0, 30)))
        headers.append((name, value))
    names = rng.sample(PARAMETERS, rng.randint(0, 5))
    when = datetime.datetime(2000, 1, 1) + datetime.timedelta(seconds=rng.randrange(60 * 365 * 86400))
    return {"method": rng.choice(["GET", "PUT", "POST", "HEAD", "DELETE"]), "path": path_of(rng, number),
            "query": [(n, "" if rng.random() < 0.3 else text(rng, 0, 20)) for n in names], "headers": headers,
            "body": rng.randbytes(rng.choice([0, 0, 1, 1000])), "region": rng.choice(["us-east-1", "auto", "eu-central-1"]),
            "when": when, "access_key_id": "AKIA" + str(rng.randrange(10**12)),
            "secret_access_key": "".join(rng.choice(PRINTABLE[1:]) for _ in range(rng.choice([1, 40, 64, 100]))),
            "session_token": rng.choice([None, "".join(rng.choice("AZaz09+/=") for _ in range(rng.choice([10, 900])))]),
            "expires_s": rng.randint(1, 604800)}


class Botocore:
    """Its own URL encoding and signer, at a time that is given."""

    def __init__(self):
        try:
            import botocore.auth
            import botocore.awsrequest
            import botocore.credentials
            import botocore.utils
        except ImportError as e:
            raise Skip(f"there is no botocore to compare with: {e}") from None
        self.modules = botocore

    def sign(self, given, by_query):
        boto = self.modules
        host = dict(given["headers"])["Host"]
        url = "https://" + host + boto.utils.percent_encode(given["path"], safe="/~")
        keys = boto.credentials.Credentials(given["access_key_id"], given["secret_access_key"], given["session_token"])
        headers = {} if by_query else dict(given["headers"])
        request = boto.awsrequest.AWSRequest(method=given["method"], url=url, headers=headers, data=given["body"])
        if by_query:
            request.data = b""
            if given["query"]:
                request.url += "?" + boto.utils.percent_encode_sequence(given["query"])
            signer = boto.auth.S3SigV4QueryAuth(keys, "s3", given["region"], expires=given["expires_s"])
        else:
            request.params = dict(given["query"])
            signer = boto.auth.S3SigV4Auth(keys, "s3", given["region"])
        with mock.patch("botocore.auth.datetime") as clock:
            clock.datetime.utcnow.return_value = given["when"]
            signer.add_auth(request)
        return request


def ours(requests):
    done = subprocess.run([TOOL], input="".join(json.dumps(r) + "\n" for r in requests), text=True, capture_output=True,
                          check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def tool_request(given, by_query):
    """What sign-tool is given: the headers that Steno sends, which are those that botocore adds."""
    wall_us = int(given["when"].replace(tzinfo=datetime.timezone.utc).timestamp()) * 1000000
    date = given["when"].strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(given["body"]).hexdigest()
    headers = [h for h in given["headers"] if h[0] == "Host"] if by_query else [
        *given["headers"], ("x-amz-date", date), ("x-amz-content-sha256", digest)]
    if given["session_token"] and not by_query:
        headers.append(("x-amz-security-token", given["session_token"]))
    return {**{n: given[n] for n in ("method", "path", "query", "region", "access_key_id", "secret_access_key", "session_token")},
            "headers": headers, "service": "s3", "wall_us": wall_us, "payload_sha256": "UNSIGNED-PAYLOAD" if by_query else digest,
            "expires_s": given["expires_s"] if by_query else None}


def compare(case, by_query):
    rng = random.Random(SEED + by_query)
    given = [request_of(rng, number) for number in range(REQUESTS)]
    boto = Botocore()
    theirs = [boto.sign(g, by_query) for g in given]
    made = ours([tool_request(g, by_query) for g in given])
    assert len(made) == REQUESTS
    for number, (g, t, m) in enumerate(zip(given, theirs, made)):
        where = f"request {number}: {g}\n"
        assert m["path"] == urlsplit(t.url).path, f"{where}path {m['path']} wanted {t.url}"
        if by_query:
            wanted, sent = urlsplit(t.url).query.split("&"), m["query"].split("&")
            assert sorted(sent) == sorted(wanted), f"{where}{sent}\nwanted {wanted}"
        else:
            assert m["authorization"] == t.headers["Authorization"], f"{where}{m['authorization']}\nwanted {t.headers['Authorization']}"
    case.figure(f"{REQUESTS} requests signed alike, {len({g['path'] for g in given})} keys")


def test_by_header(case):
    compare(case, False)


def test_by_query(case):
    compare(case, True)
