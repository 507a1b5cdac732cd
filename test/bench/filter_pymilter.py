"""pymilter with its mime and spf modules doing what our starter configuration does, as its users write it.

    filter_pymilter.py SOCKET
"""

import io
import sys

import Milter
import mime
import spf

RECORDS = {
    ("example.org", "TXT"): [(b"v=spf1 ip4:198.51.100.0/24 -all",)],
    ("mail.example.org", "TXT"): [(b"v=spf1 a -all",)],
    ("mail.example.org", "A"): ["198.51.100.25"],
    ("25.100.51.198.in-addr.arpa", "PTR"): ["mail.example.org"],
}


def lookup(name, qtype, strict=True, timeout=20):
    key = (name.rstrip(".").lower(), qtype)
    return [(key, data) for data in RECORDS.get(key, [])]


spf.DNSLookup = lookup


class Filter(Milter.Base):
    def __init__(self):
        self.id = Milter.uniqueID()

    def connect(self, hostname, family, hostaddr):
        self.ip = hostaddr[0]
        return Milter.CONTINUE

    def hello(self, hostname):
        self.helo = hostname
        return Milter.CONTINUE

    def envfrom(self, sender, *parameters):
        self.fp = io.BytesIO()
        result, _code, _text = spf.check(i=self.ip, s=sender.strip("<>"), h=self.helo)
        if result == "fail":
            return Milter.REJECT
        return Milter.CONTINUE

    def envrcpt(self, recipient, *parameters):
        return Milter.CONTINUE

    @Milter.decode("bytes")
    def header(self, name, value):
        self.fp.write(b"%s: %s\n" % (name.encode(), value if isinstance(value, bytes) else value.encode()))
        return Milter.CONTINUE

    def eoh(self):
        self.fp.write(b"\n")
        return Milter.CONTINUE

    def body(self, chunk):
        self.fp.write(chunk)
        return Milter.CONTINUE

    def eom(self):
        self.fp.seek(0)
        message = mime.message_from_file(self.fp)
        mime.defang(message, scan_zip=True)
        if message.ismodified():
            self.replacebody(message.as_bytes())
        return Milter.CONTINUE


Milter.factory = Filter
Milter.set_flags(Milter.CHGBODY)
Milter.runmilter("filter", sys.argv[1], 60)
