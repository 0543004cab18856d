"""Writes the seeds of the fuzz targets: answers of a simulated pool.

    xapi-sim --listen 127.0.0.1:8443 --hosts 1 --vms 2 --churn 0 &
    python3 seeds.py http://127.0.0.1:8443
"""

import json
import pathlib
import re
import sys
import urllib.request
from xml.sax.saxutils import escape

URL = sys.argv[1]
HERE = pathlib.Path(__file__).parent
CLASSES = re.findall(r'= "(\w+)" / "', (HERE / "../src/records.rs").read_text())
LARGEST = 3000


def post(path, body):
    request = urllib.request.Request(URL + path, body.encode(), {"Content-Type": "text/plain"})
    return urllib.request.urlopen(request).read().decode()


def json_rpc(method, *params):
    return post("/jsonrpc", json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))


def xml_rpc(method, *params):
    params = "".join(f"<param><value>{escape(param)}</value></param>" for param in params)
    return post("/xmlrpc", f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>")


def write(target, name, text):
    if len(text.encode()) > LARGEST:
        return
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


session = json.loads(json_rpc("session.login_with_password", "root", "password"))["result"]
for name, call in {
    "fault": ["VM.start", session, "OpaqueRef:x"],
    "bad-session": ["VM.get_all", "OpaqueRef:x"],
    "list": ["host.get_all", session],
    "void": ["session.logout", json.loads(json_rpc("session.login_with_password", "root", "password"))["result"]],
}.items():
    write("json_rpc", name, json_rpc(*call))
    write("xml_rpc", name, xml_rpc(*call))
for place, kind in enumerate(CLASSES):
    refs = json.loads(json_rpc(f"{kind}.get_all", session))["result"]
    for ref in refs[:1]:
        answer = json_rpc(f"{kind}.get_record", session, ref)
        record = json.loads(answer)["result"]
        if kind == "VM":
            record["recommendations"] = record["recommendations"][:200]
        write("records", kind, chr(place) + json.dumps(record, separators=(",", ":")))
        event = json_rpc("event.from", session, [f"{kind}/{ref}"], "", 1)
        event = re.sub(r'"valid_ref_counts":\{[^}]*\}', '"valid_ref_counts":{"vm":3}', event)
        write("events", kind, "\x07\x40\x01\n" + event)
        if kind in ("VBD", "PIF", "SR", "console", "VM_metrics", "Certificate"):
            write("json_rpc", kind, answer)
            write("xml_rpc", kind, xml_rpc(f"{kind}.get_record", session, ref))
write(
    "events",
    "two",
    '\x20\n{"jsonrpc":"2.0","result":{"events":[{"id":"1","timestamp":"0.0","class":"later","operation":"add","ref":"x",'
    '"snapshot":{}},{"id":"2","timestamp":"0.0","class":"vbd","operation":"del","ref":"OpaqueRef:a"}],'
    '"valid_ref_counts":{"vbd":1},"token":"00000000000000000001,00000000000000000000"},"id":1}',
)
write(
    "events",
    "escaped",
    '\x20\n{"jsonrpc":"2.0","result":{"\\u0065vents":[{"class":"vbd","operation":"del","ref":"OpaqueRef:a"}],"token":"1,0"}}',
)
for name, text in {
    "reference": "OpaqueRef:d4c1f3a0-0b9e-4a57-8d35-2f0a6b7c8d9e",
    "null": "OpaqueRef:NULL",
    "date": "20240131T12:34:56Z",
    "dashed": "2024-01-31T13:34:56.5+01:00",
    "restrictions": '<restrictions><restriction field="supports-uefi" value="no"/><restriction max="1" '
    'property="vcpus-max"/><restriction field=\'a&amp;b\' value="yes"></restriction></restrictions>',
}.items():
    write("texts", name, text)
