"""
The Prometheus rules and the Grafana dashboard: each alert fires in its series and not otherwise, all that they name is what a
real stenod tells, a real Prometheus answers every expression, and every alert has its section in docs/OPERATIONS.md.
"""
import json
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import yaml

from steno_test import procs, steno, stenod

LIGHT = 25

RULES = os.path.join(steno.TOP, "conf", "prometheus", "steno.rules.yml")
DASHBOARD = os.path.join(steno.TOP, "conf", "grafana", "steno.json")
OPERATIONS = os.path.join(steno.TOP, "docs", "OPERATIONS.md")
GIB = 1 << 30


def alerts():
    with open(RULES) as f:
        return [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]


def dashboard():
    with open(DASHBOARD) as f:
        return json.load(f)


# ---- each alert fires in its series, and not otherwise ---------------------------------------------------------------

# A server that has no trouble: six hours, a value a minute, in Prometheus' notation ("from+step x times"). The samples' time
# begins at 0, and so does the server's clock.
HEALTHY = {
    'up{job="steno"}': "1x360",
    'steno_clock_seconds': "0+60x360",
    'steno_certificate_expiry_seconds': "9000000x360",
    'steno_journal_errors_total': "0x360",
    'steno_journal_events_dropped_total': "0x360",
    'steno_journal_events_waiting': "0x360",
    'steno_audit_errors_total': "0x360",
    'steno_http_logins_refused_total': "0x360",
    'steno_http_requests_total{command="recording.start",code="2xx"}': "0+2x360",
    'steno_commands_total{command="metrics",result="ok"}': "1+1x360",
    'steno_http_request_duration_seconds_bucket{le="0.1"}': "0+100x360",
    'steno_http_request_duration_seconds_bucket{le="1"}': "0+100x360",
    'steno_http_request_duration_seconds_bucket{le="5"}': "0+100x360",
    'steno_http_request_duration_seconds_bucket{le="+Inf"}': "0+100x360",
    'steno_http_request_duration_seconds_count': "0+100x360",
    'steno_http_connections_evicted_total': "0x360",
    'steno_recordings_ended_total{result="completed"}': "0+1x360",
    'steno_recordings_ended_total{result="failed"}': "0x360",
    'steno_recordings{state="recording"}': "5x360",
    'steno_recordings{state="joining"}': "0 1 0 0 1 0x355",
    'steno_recordings{state="reconnecting"}': "0x360",
    'steno_recordings{state="assembling"}': "1x360",
    'steno_capture_bytes_total': "0+18000000x360",
    'steno_recorder_restarts_total': "0x360",
    'steno_packets_received_total': "0+20000x360",
    'steno_packets_lost_total': "0+10x360",
    'steno_undecryptable_tracks': "0x360",
    'steno_uploads{state="waiting"}': "1x360",
    'steno_uploads{state="storing"}': "2x360",
    'steno_uploads{state="retrying"}': "0x360",
    'steno_uploads{state="blocked"}': "0x360",
    'steno_disk_total_bytes': f"{100 * GIB}x360",
    'steno_disk_free_bytes': f"{80 * GIB}x360",
    'steno_webhooks_waiting': "0 1 0 2 0x356",
    'steno_webhook_failed_total': "0x360",
    'steno_webhook_given_up_total': "0x360",
}
FAILED_STARTS = 'steno_http_requests_total{command="recording.start",code="5xx"}'
# What differs (None: the series is not there), and the moment at which the alert of this name must fire, and nothing else.
TROUBLE = {
    "StenoDown": ({'up{job="steno"}': "1x20 0x260"}, "25m"),
    "StenoUnwatched": ({'up{job="steno"}': None}, "35m"),
    "StenoRestarts": ({'steno_commands_total{command="metrics",result="ok"}': "1+1x20 1 2 1 2 1 2 1 2 3+1x250"}, "32m"),
    "StenoClockOff": ({'steno_clock_seconds': "7+60x360"}, "35m"),
    "StenoCertificateExpires": ({'steno_certificate_expiry_seconds': f"{13 * 86400}x360"}, "62m"),
    "StenoJournalFails": ({'steno_journal_errors_total': "0x20 3x260"}, "23m"),
    "StenoEventsDropped": ({'steno_journal_events_dropped_total': "0x20 1x260"}, "23m"),
    "StenoAuditFails": ({'steno_audit_errors_total': "0x20 1x260"}, "23m"),
    "StenoLoginsRefused": ({'steno_http_logins_refused_total': "0x20 0+10x260"}, "35m"),
    "StenoApiSlow": ({'steno_http_request_duration_seconds_bucket{le="0.1"}': "0+10x360",
                      'steno_http_request_duration_seconds_bucket{le="1"}': "0+80x360"}, "35m"),
    "StenoConnectionsFull": ({'steno_http_connections_evicted_total': "0x20 0+1x260"}, "35m"),
    "StenoRecordingFailed": ({'steno_recordings_ended_total{result="failed"}': "0x20 1x260"}, "23m"),
    "StenoStartsRefused": ({FAILED_STARTS: "_x20 1x260"}, "23m"),
    "StenoPlatformAway": ({'steno_recordings{state="reconnecting"}': "0x20 1x260"}, "25m"),
    "StenoCapturesNothing": ({'steno_capture_bytes_total': "9x360"}, "35m"),
    "StenoRecorderDies": ({'steno_recorder_restarts_total': "0x20 1x260"}, "23m"),
    "StenoPacketLoss": ({'steno_packets_lost_total': "0+300x360"}, "35m"),
    "StenoUndecryptable": ({'steno_undecryptable_tracks': "0x20 1x260"}, "23m"),
    "StenoAssemblyBacklog": ({'steno_recordings{state="assembling"}': "11x360"}, "62m"),
    "StenoStorageBlocked": ({'steno_uploads{state="blocked"}': "0x20 1x260"}, "23m"),
    "StenoStorageAway": ({'steno_uploads{state="retrying"}': "0x20 1x260"}, "38m"),
    "StenoUploadBacklog": ({'steno_uploads{state="waiting"}': "1+1x360"}, "95m"),
    "StenoDiskFilling": ({'steno_disk_free_bytes': f"{50 * GIB}-{GIB // 4}x360"}, "35m"),
    "StenoDiskLow": ({'steno_disk_free_bytes': f"{9 * GIB}x360"}, "35m"),
    "StenoDiskFull": ({'steno_disk_free_bytes': f"{2 * GIB}x360"}, "35m"),
    "StenoWebhooksFail": ({'steno_webhooks_waiting': "3x360", 'steno_webhook_failed_total': "0+1x360"}, "35m"),
    "StenoWebhookGivenUp": ({'steno_webhook_given_up_total': "0x20 1x260"}, "23m"),
}
# What cannot be without the other.
TOGETHER = {"StenoDiskFull": ["StenoDiskLow"]}
# Close to trouble, and none: (what differs, moment).
NO_TROUBLE = {
    "nothing": ({}, "65m"),
    "one scrape fails": ({'up{job="steno"}': "1x20 0 1x259"}, "22m"),
    "a reload": ({'steno_commands_total{command="metrics",result="ok"}': "1+1x20 1+1x260"}, "23m"),
    "an older failure": ({'steno_recordings_ended_total{result="failed"}': "0x20 1x260"}, "40m"),
    "older refused starts": ({FAILED_STARTS: "_x20 1x260"}, "35m"),
    "refused starts before a restart": ({FAILED_STARTS: "5x20 _x260"}, "35m"),
    "a minute's absence of the platform": ({'steno_recordings{state="reconnecting"}': "0x20 1 0x259"}, "22m"),
    "nobody records, nothing is captured": ({'steno_capture_bytes_total': "9x360", 'steno_recordings{state="recording"}': "0x360"}, "35m"),
    "loss without packets to speak of": ({'steno_packets_received_total': "0+5x360", 'steno_packets_lost_total': "0+1x360"}, "35m"),
    "a night's backlog that shrinks": ({'steno_uploads{state="waiting"}': "300-1x270 30x90"}, "95m"),
    "a disk that fills slowly": ({'steno_disk_free_bytes': f"{55 * GIB}-{GIB // 64}x360"}, "35m"),
    "a disk that is emptied": ({'steno_disk_free_bytes': f"{20 * GIB}+{GIB // 8}x360"}, "35m"),
    "a receiver that was away": ({'steno_webhooks_waiting': "3x20 0x260", 'steno_webhook_failed_total': "0+1x20 100x260"}, "35m"),
    "busy webhooks": ({'steno_webhooks_waiting': "3x360"}, "35m"),
}


def scenario(changes, at, expected):
    # "5x360" alone means 361 equal samples in the notation "5+0x360".
    def values(text):
        return " ".join(re.sub(r"^(-?[\d.]+)x", r"\1+0x", word) for word in text.split())

    def labelled(name):
        return name[:-1] + ',instance="a:8443"}' if name.endswith("}") else name + '{instance="a:8443"}'
    series = {k: v for k, v in {**HEALTHY, **changes}.items() if v is not None}
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)]
    return {"interval": "1m", "input_series": [{"series": labelled(k), "values": values(v)} for k, v in series.items()],
            "promql_expr_test": [{"expr": 'max by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at, "exp_samples": samples}]}


def test_alerts(case):
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names) and set(names) == set(TROUBLE), f"without a scenario, or without a rule: {set(names) ^ set(TROUBLE)}"
    tests = [scenario(changes, at, [name, *TOGETHER.get(name, [])]) for name, (changes, at) in TROUBLE.items()]
    tests += [scenario(changes, at, []) for changes, at in NO_TROUBLE.values()]
    for test, name in zip(tests, [*TROUBLE, *NO_TROUBLE]):
        test["name"] = name
    with open(case.path("scenarios.yml"), "w") as f:
        yaml.safe_dump({"rule_files": [RULES], "evaluation_interval": "1m", "tests": tests}, f, sort_keys=False)
    done = subprocess.run(["promtool", "test", "rules", case.path("scenarios.yml")], capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    case.figure(f"{len(TROUBLE)} alerts fire, {len(NO_TROUBLE)} times there is none")


def test_documented(case):
    """Every alert has a section of its name in docs/OPERATIONS.md, and no section is of an alert that is none."""
    with open(OPERATIONS) as f:
        sections = re.findall(r"^#+ (Steno[A-Z]\w+)$(.*?)(?=^#)", f.read(), re.M | re.S)
    names = [rule["alert"] for rule in alerts()]
    assert sorted(name for name, _ in sections) == sorted(names), f"only in one: {set(dict(sections)) ^ set(names)}"
    for name, text in sections:
        for word in ("**Means**", "**Look**", "**Do**"):
            assert word in text, f"{name} has no {word}"
    for rule in alerts():
        notes = rule["annotations"]
        assert notes["runbook"] == "docs/OPERATIONS.md#" + rule["alert"].lower(), notes
        assert notes["summary"] and notes["description"] and rule["labels"]["severity"] in ("critical", "warning"), rule
    panels = " ".join(p.get("description", "") for p in dashboard()["panels"])
    for name in re.findall(r"Steno[A-Z]\w+", panels):
        assert name in names, f"the dashboard speaks of {name}"


def test_dashboard(case):
    """What Grafana needs of a dashboard: ids of their own, panels that do not lie on each other, variables that exist."""
    board = dashboard()
    panels = board["panels"]
    assert board["schemaVersion"] >= 36 and board["uid"] and board["title"]
    assert len({p["id"] for p in panels}) == len(panels), "panels share an id"
    variables = {v["name"] for v in board["templating"]["list"]}
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["w"] > 0 and at["h"] > 0 and at["x"] + at["w"] <= 24, f"{panel['title']}: {at}"
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("stat", "timeseries") and panel["title"] and panel["description"] and panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            for name in re.findall(r"\$\{?(\w+)", target["expr"]):
                assert name in variables | {"__rate_interval"}, f"{panel['title']}: ${name}"
    case.figure(f"{sum(p['type'] != 'row' for p in panels)} panels")


# ---- a real stenod, a real Prometheus --------------------------------------------------------------------------------

def expressions():
    """[(where, expression)] of rules and dashboard, with Grafana's variables as Grafana would fill them in."""
    found = [(rule["alert"], rule["expr"]) for rule in alerts()]
    found += [(panel["title"], target["expr"].replace("$instance", ".*").replace("$__rate_interval", "5s"))
              for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return found


def families(text):
    """{series' name: [its labels]} of Prometheus' text format."""
    found = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*?)\})? \S+$", text, re.M):
        found.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
    return found


def ask(port, path, **query):
    url = f"http://127.0.0.1:{port}{path}?" + urllib.parse.urlencode(query)
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        if refused.code == 503:  # it is starting
            raise OSError("not ready") from refused
        return json.load(refused)


def start_prometheus(case, daemon, key):
    port = procs.free_ports(1)[0]
    password = steno.secret_file(case.folder, "prometheus.key", key["secret"])
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [RULES],
              "scrape_configs": [{"job_name": "steno", "scheme": "https", "basic_auth": {"username": key["id"], "password_file": password},
                                  "tls_config": {"ca_file": os.path.join(daemon.state, "tls", "cert.pem")},
                                  "static_configs": [{"targets": [f"127.0.0.1:{daemon.port}"]}]}]}
    with open(case.path("prometheus.yml"), "w") as f:
        yaml.safe_dump(config, f)
    with open(case.path("prometheus.log"), "wb") as log:
        process = procs.start(["prometheus", f"--config.file={case.path('prometheus.yml')}", f"--storage.tsdb.path={case.path('tsdb')}",
                               f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    case.on_exit(procs.stop, process)

    def scraped():
        assert process.poll() is None, open(case.path("prometheus.log")).read()[-1500:]
        try:
            answer = ask(port, "/api/v1/query", query='count_over_time(up{job="steno"}[1m]) > 2 and up{job="steno"} == 1')
        except OSError:
            return False
        return answer["status"] == "success" and answer["data"]["result"]
    procs.await_true(scraped, 30, "Prometheus has scraped stenod", interval=0.2)
    return port


def test_real(case):
    daemon = stenod.Stenod(case)
    dead = procs.free_ports(1)[0]
    daemon.platforms.append({"name": "janus-1", "connector": "janus", "url": f"http://127.0.0.1:{dead}/janus"})
    daemon.limits["max_recordings"] = 1
    daemon.start()
    key = daemon.key("viewer")
    daemon.begin("1234")
    refused = daemon.ask("POST", "/v1/recordings", {"app": "clinic", "platform": "janus-1", "channel": "4321"})
    assert refused.status == 503, refused
    assert daemon.https("GET", "/metrics").status == 401
    assert daemon.https("GET", "/metrics", key={"id": key["id"], "secret": "A" * 43}).status == 401
    bearer = {"Authorization": f"Bearer {key['id']}.{key['secret']}"}
    assert daemon.https("GET", "/metrics", headers=bearer).status == 200
    port = start_prometheus(case, daemon, key)

    told = families(daemon.https("GET", "/metrics", key=key).body.decode())
    checked = 0
    for where, expression in expressions():
        for name, labels in re.findall(r"\b(steno_\w+)(?:\{(.*?)\})?", expression):
            assert name in told, f"{where}: stenod does not tell {name}"
            for label, how, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', labels or ""):
                if label == "instance":
                    continue
                values = {series.get(label) for series in told[name]}
                wanted = value.split("|") if how == "=~" else [value]
                for one in wanted:
                    assert one in values, f"{where}: {name} has no {label} {one}, but {values}"
                    checked += 1
        answer = ask(port, "/api/v1/query", query=expression)
        assert answer["status"] == "success", f"{where}: {answer}"
    rules = ask(port, "/api/v1/rules")["data"]["groups"]
    sick = [(r["name"], r["health"], r.get("lastError")) for g in rules for r in g["rules"] if r["health"] != "ok"]
    assert not sick, sick

    def firing():
        return {a["labels"]["alertname"]: a for a in ask(port, "/api/v1/alerts")["data"]["alerts"] if a["state"] == "firing"}
    alert = procs.await_true(lambda: firing().get("StenoStartsRefused"), 10, "the refused start is told")
    assert alert["annotations"]["summary"].startswith(f"127.0.0.1:{daemon.port} could not begin"), alert
    empty = [where for where, expression in expressions() if where not in TROUBLE
             and not ask(port, "/api/v1/query", query=expression)["data"]["result"] and where != "Oldest blocked"]
    assert not empty, f"panels without anything to show: {empty}"
    case.figure(f"{len(expressions())} expressions, {checked} labels, {len(told)} metrics")
