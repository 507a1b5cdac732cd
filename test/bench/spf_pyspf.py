"""pyspf on the cases of the SPF bench. Reads one line per round: the index of a case and the seconds to measure it.
Answers with evaluations per second and the result."""
import json
import sys
import time

import spf

bench = json.load(open(sys.argv[1]))
zone = {name.lower(): entry["records"] for name, entry in bench["zone"].items()}


def data_of(record):
    kind, data = record["type"], record["data"]
    if kind == "TXT":
        return tuple(text.encode("latin-1") for text in data)
    if kind == "MX":
        return (data["preference"], data["exchange"])
    return data


answers = {}
for name, records in zone.items():
    for record in records:
        kind = record["type"]
        answers.setdefault((name, kind), []).append(((name, kind), data_of(record)))


def lookup(name, qtype, strict=True, timeout=20):
    return answers.get((name.rstrip(".").lower(), qtype), [])


spf.DNSLookup = lookup

for line in sys.stdin:
    index, seconds = line.split()
    case = bench["cases"][int(index)]
    ip, sender, helo = case["ip"], case["mailfrom"], case["helo"]
    count, batch = 0, 1
    start = now = time.perf_counter()
    end = start + float(seconds)
    while now < end:
        for _ in range(batch):
            result, _text = spf.check2(i=ip, s=sender, h=helo, receiver="receiver.example")
        count += batch
        now = time.perf_counter()
        if now - start < float(seconds) / 10:
            batch *= 2
    print(json.dumps({"rate": count / (now - start), "result": result}), flush=True)
