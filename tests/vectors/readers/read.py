import base64
import json
import sys


def member(value, name):
    return value.get(name) if isinstance(value, dict) else None


for line in sys.stdin.buffer:
    message = json.loads(base64.b64decode(line))
    params = member(message, "params")
    ref = member(params, "ref")
    listens = member(params, "notifications")
    print(json.dumps({
        "id": member(message, "id"),
        "method": member(message, "method"),
        "arguments": member(params, "arguments"),
        "name": member(params, "name"),
        "uri": member(params, "uri"),
        "task": member(params, "taskId"),
        "ref": ref and [member(ref, "type"), member(ref, "name"), member(ref, "uri")]
        if member(message, "method") == "completion/complete" else None,
        "listens": [member(listens, "resourceSubscriptions") or [], member(listens, "taskIds") or []],
    }))
