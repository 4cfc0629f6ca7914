"""Says of each line {"secret", "headers", "body"} whether the public library for Standard Webhooks believes it."""

import json
import sys

from standardwebhooks import Webhook

for line in sys.stdin:
    given = json.loads(line)
    try:
        event = Webhook(given["secret"]).verify(given["body"], given["headers"])
        print(json.dumps({"believed": True, "event": event}), flush=True)
    except Exception as error:
        print(json.dumps({"believed": False, "why": f"{type(error).__name__}: {error}"}), flush=True)
