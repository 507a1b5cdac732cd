/** The starter configuration: useful, since it shows what it finds in the log and to `milter why`, and harmless. */

/** What is filled into the starter configuration. */
export interface StarterValues {
  /** The folder of stored things. */
  readonly data: string;
}

/** The text of the starter configuration. */
export function starterText({ data }: StarterValues): string {
  return `${HEAD}data = ${JSON.stringify(data)}              # what the filter remembers

${MODULES}`;
}

const HEAD = `#:schema ./milter.schema.json

# The mail filter's configuration. All keys: man milter.toml, or docs/configuration.md.
#
# As it stands, the filter refuses nothing and changes nothing: every module has mode = "observe". It says in its log what
# it finds, and \`milter why\` explains what became of a message and what would have.
#
#   1. Set \`domains\` and \`internal\` in module "networks": who is inside, and what is ours.
#   2. milter check milter.toml          is it right, and wise?
#      milter run milter.toml            and tell the MTA of the socket, as it prints
#   3. Look for some days at what is found:    milter why --since 1d
#      or try it on mail that you have:        milter replay Maildir/
#   4. Where a module finds only what it should, remove its line mode = "observe", and reload (SIGHUP).

socket = "inet:8894@127.0.0.1"          # where the MTA finds the filter; or "unix:/var/spool/postfix/milter/milter.sock"
# socket_group = "postfix"              # who may use a unix socket
# user = "milter"                       # whom the filter becomes when root starts it
# hostname = "mx.example.org"           # this machine's name, where the system does not know the full one
`;

const MODULES = `[log]
subjects = false                        # true: subjects of messages in log and history

# Who is inside. Nothing is judged to come from us before \`domains\` says what is ours.
[[module]]
use = "networks"
mode = "observe"
internal = ["127.0.0.0/8", "::1"]       # who may send out through us: add your own networks
domains = []                            # what is ours: ["example.org", ".example.org"]
relays = []                             # secondary MX and forwarding machines that are trusted

# What the client calls itself.
[[module]]
use = "helo"
mode = "observe"

# The client's name in DNS.
[[module]]
use = "ptr"
mode = "observe"
# dynamic = "score 1"                   # names as dial-up lines have

# Whether the sender's domain allows the client to send in its name.
[[module]]
use = "spf"
mode = "observe"
# softfail = "score 2"

# What adds up the points of \`score N\`. It marks from 5 on, and refuses from 15 on.
[[module]]
use = "score"
mode = "observe"
`;
