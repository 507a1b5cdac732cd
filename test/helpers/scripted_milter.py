"""A milter on pymilter, that is on the real libmilter, which answers as it is told.

usage: scripted_milter.py SOCKET, with the script as one line of JSON on standard input (see pymilter.ts).
Tells one JSON object a line: {"echo": ""} once it listens, then every callback that comes. Echoes every further line
of its input, at the end of which it ends too.
"""
import json
import os
import sys
import threading

import milter

SCRIPT = json.loads(sys.stdin.readline())
STAGES = SCRIPT.get("stages", {})
VERDICTS = {
    "continue": milter.CONTINUE,
    "accept": milter.ACCEPT,
    "reject": milter.REJECT,
    "discard": milter.DISCARD,
    "tempfail": milter.TEMPFAIL,
    "skip": milter.SKIP,
}
NO_REPLY = {
    "connect": milter.P_NR_CONN,
    "helo": milter.P_NR_HELO,
    "envfrom": milter.P_NR_MAIL,
    "envrcpt": milter.P_NR_RCPT,
    "data": milter.P_NR_DATA,
    "unknown": milter.P_NR_UNKN,
    "header": milter.P_NR_HDR,
    "eoh": milter.P_NR_EOH,
    "body": milter.P_NR_BODY,
}
SYMLIST_STAGES = {
    "connect": milter.M_CONNECT,
    "helo": milter.M_HELO,
    "envfrom": milter.M_ENVFROM,
    "envrcpt": milter.M_ENVRCPT,
    "data": milter.M_DATA,
    "eom": milter.M_EOM,
    "eoh": milter.M_EOH,
}
output = threading.Lock()


def tell(event):
    with output:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def text(value):
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def listen_to_input():
    """Echoes each line, behind every event so far, and ends with the input."""
    for line in sys.stdin:
        tell({"echo": line.strip()})
    os._exit(0)


def negotiate(ctx, options):
    tell({"stage": "negotiate", "args": options[:2], "macros": {}})
    for stage, names in SCRIPT.get("symlists", {}).items():
        ctx.setsymlist(SYMLIST_STAGES[stage], " ".join(names))
    if "steps" not in SCRIPT:
        return milter.ALL_OPTS
    options[1] = SCRIPT["steps"]
    options[2] = options[3] = 0
    return milter.CONTINUE


def answer(ctx, stage, args):
    """The script's answer to the first argument, else to `*`."""
    rules = STAGES.get(stage, {})
    rule = rules.get(str(args[0]) if args else "*", rules.get("*", {}))
    for method, *arguments in rule.get("actions", []):
        if method == "replacebody":
            arguments = [arguments[0].encode("utf-8", "surrogateescape")]
        getattr(ctx, method)(*arguments)
    if SCRIPT.get("steps", 0) & NO_REPLY.get(stage, 0):
        return milter.NOREPLY
    if "reply" in rule:
        ctx.setreply(*rule["reply"])
    return VERDICTS[rule.get("verdict", "continue")]


def callback(stage):
    def called(ctx, *args):
        args = [text(arg) for arg in args]
        macros = {name: ctx.getsymval(name) for name in SCRIPT.get("macros", [])}
        tell({"stage": stage, "args": args, "macros": macros})
        return answer(ctx, stage, args)

    return called


milter.set_flags(milter.CURR_ACTS)
milter.set_connect_callback(callback("connect"))
milter.set_helo_callback(callback("helo"))
milter.set_envfrom_callback(callback("envfrom"))
milter.set_envrcpt_callback(callback("envrcpt"))
milter.set_header_callback(callback("header"))
milter.set_eoh_callback(callback("eoh"))
milter.set_body_callback(callback("body"))
milter.set_eom_callback(callback("eom"))
milter.set_abort_callback(callback("abort"))
milter.set_close_callback(callback("close"))
milter.setconn(sys.argv[1])
milter.register("scripted", data=callback("data"), unknown=callback("unknown"), negotiate=negotiate)
milter.opensocket(True)
tell({"echo": ""})
threading.Thread(target=listen_to_input, daemon=True).start()
milter.main()
