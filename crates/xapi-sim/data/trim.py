#!/usr/bin/env python3
"""Trims a full XAPI data model dump to the facts the simulator needs: trim.py full.json > datamodel.json

Field: [name, type, qualifier, internal(0|1), default?]; message: [name, kind, params, result, async(0|1), min_role,
"internal" (only for the hosts of a pool) or "removed"?];
param: [name, type, default?]. Getters follow from the fields and are left out. One line per class keeps diffs readable."""
import json
import sys

model = json.load(open(sys.argv[1]))
compact = lambda value: json.dumps(value, separators=(",", ":"))
GENERATED = ("get_record", "get_by_uuid", "get_all", "get_all_where", "get_all_records_where", "get_all_records", "get_by_name_label")


def default(item):
    return [item["default"]] if "default" in item else []


def state(message):
    if message.get("pool_internal"):
        return ["internal"]
    return ["removed"] if message.get("state") == "removed" else []


def trim(cls):
    fields = [[f["name"], f["type"], f["qualifier"], int(bool(f.get("internal"))), *default(f)] for f in cls["fields"]]
    names = lambda kind, prefix: [m["name"].removeprefix(prefix) for m in cls["messages"] if m["kind"] == kind]
    return {
        "name": cls["name"],
        "in_database": cls["in_database"],
        "events": cls["events"],
        "fields": fields,
        "generated": [m["kind"] for m in cls["messages"] if m["kind"] in GENERATED],
        "setters": names("setter", "set_"),
        "adders": [m["name"] for m in cls["messages"] if m["kind"] == "add"],
        "removers": [m["name"] for m in cls["messages"] if m["kind"] == "remove"],
        # Of the generated calls, only those that not everybody may make.
        "roles": {m["name"]: m["min_role"] for m in cls["messages"]
                  if m["kind"] in ("setter", "add", "remove") and m["min_role"] != "read-only"},
        "key_roles": {m["name"]: m["map_key_roles"] for m in cls["messages"] if "map_key_roles" in m},
        "messages": [
            [m["name"], m["kind"], [[p["name"], p["type"], *default(p)] for p in m["params"]], m["result"],
             int(bool(m.get("async"))), m["min_role"], *state(m)]
            for m in cls["messages"] if m["kind"] in ("custom", "create", "destroy")
        ],
    }


lines = ",\n".join(compact(trim(c)) for c in model["classes"])
print('{"enums":%s,\n"relations":%s,\n"classes":[\n%s\n]}' % (compact(model["enums"]), compact(model["relations"]), lines))
