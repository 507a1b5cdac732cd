"""Signs and verifies by dkimpy what stands on standard input, a request in JSON for each line."""
import base64
import json
import sys

import dkim


def answer(request):
    message = base64.b64decode(request["message"])
    dns = {name.encode() + b".": text.encode() for name, text in request["dns"].items()}

    def lookup(name, timeout=5):
        return dns.get(name if name.endswith(b".") else name + b".")

    if request["do"] == "verify":
        checker = dkim.DKIM(message)
        count = sum(1 for name, _ in checker.headers if name.lower() == b"dkim-signature")
        found = []
        for index in range(count):
            try:
                found.append(checker.verify(idx=index, dnsfunc=lookup))
            except dkim.DKIMException as error:
                found.append(str(error))
        return found
    if request["do"] == "verify-arc":
        cv, results, comment = dkim.ARC(message).verify(dnsfunc=lookup)
        return {"cv": cv.decode(), "comment": comment}
    options = request["options"]
    common = [options["selector"].encode(), options["domain"].encode(), options["key"].encode()]
    if request["do"] == "seal":
        lines = dkim.arc_sign(message, *common, options["id"].encode(), signature_algorithm=b"rsa-sha256")
        return base64.b64encode(b"".join(lines)).decode()
    header, body = options["canonicalize"].split("/")
    field = dkim.sign(
        message,
        *common,
        canonicalize=(header.encode(), body.encode()),
        signature_algorithm=options.get("algorithm", "rsa-sha256").encode(),
        include_headers=[name.encode() for name in options["fields"]] if "fields" in options else None,
        length=options.get("length", False),
    )
    return base64.b64encode(field).decode()


for line in sys.stdin:
    try:
        print(json.dumps({"answer": answer(json.loads(line))}), flush=True)
    except Exception as error:  # Told to the test, which knows what it asked for.
        print(json.dumps({"error": repr(error)}), flush=True)
