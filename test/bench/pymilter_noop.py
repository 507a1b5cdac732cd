"""pymilter doing nothing, as its users write it.

    pymilter_noop.py SOCKET all       every stage overridden, every stage answered
    pymilter_noop.py SOCKET noreply   the same, with @noreply wherever only the envelope and eom need an answer
"""

import sys

import Milter


class Every(Milter.Base):
    def connect(self, hostname, family, hostaddr):
        return Milter.CONTINUE

    def hello(self, hostname):
        return Milter.CONTINUE

    def envfrom(self, sender, *parameters):
        return Milter.CONTINUE

    def envrcpt(self, recipient, *parameters):
        return Milter.CONTINUE

    def data(self):
        return Milter.CONTINUE

    def unknown(self, command):
        return Milter.CONTINUE

    def header(self, name, value):
        return Milter.CONTINUE

    def eoh(self):
        return Milter.CONTINUE

    def body(self, chunk):
        return Milter.CONTINUE

    def eom(self):
        return Milter.CONTINUE

    def abort(self):
        return Milter.CONTINUE

    def close(self):
        return Milter.CONTINUE


class EnvelopeAnswered(Every):
    connect = Milter.noreply(Every.connect)
    hello = Milter.noreply(Every.hello)
    data = Milter.noreply(Every.data)
    unknown = Milter.noreply(Every.unknown)
    header = Milter.noreply(Every.header)
    eoh = Milter.noreply(Every.eoh)
    body = Milter.noreply(Every.body)


socket, form = sys.argv[1:]
Milter.factory = {"all": Every, "noreply": EnvelopeAnswered}[form]
Milter.runmilter("noop", socket, 240)
