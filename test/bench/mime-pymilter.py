"""pymilter's side of the MIME benchmark: parse, defang with names, zip and HTML, serialise.

Reads file names from stdin, works through all of them for the seconds given, prints {"messages", "bytes", "seconds", "errors"}.
"""

import contextlib
import io
import json
import sys
import time

import mime


def work(content):
    message = mime.message_from_file(io.BytesIO(content))
    mime.defang(message, scan_zip=True)
    return message.as_bytes()


contents = []
for line in sys.stdin:
    with open(line.strip(), "rb") as file:
        contents.append(file.read())
limit = float(sys.argv[1])
messages = done = errors = 0
with contextlib.redirect_stdout(io.StringIO()):
    start = time.perf_counter()
    while time.perf_counter() - start < limit:
        for content in contents:
            try:
                work(content)
            except Exception:
                errors += 1
            messages += 1
            done += len(content)
    seconds = time.perf_counter() - start
print(json.dumps({"messages": messages, "bytes": done, "seconds": seconds, "errors": errors}))
