"""Runs pymilter's mime module over mails named on stdin, one result line of JSON per mail."""

import contextlib
import io
import json
import sys

import mime


def examine(path):
    result = {"file": path, "names": [], "modified": False, "warnings": 0, "error": None, "identical": None}
    try:
        with open(path, "rb") as file:
            message = mime.message_from_file(file)
        with open(path, "rb") as file:
            result["identical"] = message.as_bytes() == file.read()
    except Exception as error:
        result["error"] = "%s: %s" % (type(error).__name__, error)
        return result
    try:
        for part in message.walk():
            result["names"] += [value for _, value in part.getnames() if value]
        result["modified"] = bool(mime.defang(message, scan_zip=True))
        result["warnings"] = message.as_bytes().count(b"WARNING.TXT")
    except Exception as error:
        result["error"] = "%s: %s" % (type(error).__name__, error)
    return result


for line in sys.stdin:
    # pymilter prints as it goes.
    with contextlib.redirect_stdout(io.StringIO()):
        answer = examine(line.strip())
    print(json.dumps(answer), flush=True)
