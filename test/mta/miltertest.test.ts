import { it } from 'vitest';
import { Milter, reject } from '../../lib/index.ts';
import { runMiltertest } from '../helpers/miltertest.ts';
import { describeWith } from '../helpers/requirements.ts';
import { serving } from '../helpers/server.ts';

/** Does a little of everything. */
class Filter extends Milter {
  override envrcpt(recipient: string) {
    return recipient === '<no@test.invalid>' ? reject(550, '5.7.1', 'Not wanted') : undefined;
  }
  override eom() {
    const { message } = this;
    message.addHeader('X-Seen', `${message.queueId} from ${this.session.client.address}`);
    message.insertHeader(0, 'X-Top', 'first');
    message.changeHeader('Subject', 1, 'changed');
    message.changeHeader('X-Gone', 1, null);
    message.addRcpt('archive@test.invalid');
    message.deleteRcpt('bob@test.invalid');
    message.replaceBody('new body\r\n');
    if (message.headers.get('X-Odd') !== undefined) message.quarantine('looks odd');
    return message.headers.get('X-Bad') === undefined ? undefined : reject(554, '5.7.0', 'Bad');
  }
}

/** What every script needs. */
const PRELUDE = `
local names = {}
for name, value in pairs(_G) do
  if string.match(name, "^SMFIR_") then names[value] = name end
end
function good(problem) if problem ~= nil then error(problem, 2) end end
function answer(conn, expected)
  local got = mt.getreply(conn)
  if got ~= expected then error("got " .. (names[got] or tostring(got)), 2) end
end
function must(condition) if not condition then error("not so", 2) end end

conn = mt.connect(spec, 40, 0.1)
must(conn ~= nil)
good(mt.negotiate(conn, nil, nil, nil))
good(mt.conninfo(conn, "client.test", "192.0.2.7"))
answer(conn, SMFIR_CONTINUE)
good(mt.helo(conn, "client.test"))
good(mt.macro(conn, SMFIC_MAIL, "i", "Q1"))
good(mt.mailfrom(conn, "<ann@one.test>", "SIZE=10"))
answer(conn, SMFIR_CONTINUE)
`;

/** A message up to its end. */
function message(...headers: readonly string[]): string {
  return `
good(mt.rcptto(conn, "<bob@test.invalid>"))
answer(conn, SMFIR_CONTINUE)
good(mt.data(conn))
good(mt.header(conn, "Subject", "hello"))
good(mt.header(conn, "X-Gone", "unwanted"))
${headers.map((name) => `good(mt.header(conn, "${name}", "yes"))`).join('\n')}
good(mt.eoh(conn))
good(mt.bodystring(conn, "first line\\r\\n"))
good(mt.eom(conn))
`;
}

describeWith(['miltertest'], 'miltertest', () => {
  it.each([
    [
      'sees all changes',
      `${message()}
answer(conn, SMFIR_CONTINUE)
must(mt.eom_check(conn, MT_HDRADD, "X-Seen", " Q1 from 192.0.2.7"))
must(mt.eom_check(conn, MT_HDRINSERT, "X-Top", " first"))
must(mt.eom_check(conn, MT_HDRCHANGE, "Subject", " changed"))
must(mt.eom_check(conn, MT_HDRDELETE, "X-Gone"))
must(mt.eom_check(conn, MT_RCPTADD, "<archive@test.invalid>"))
must(mt.eom_check(conn, MT_RCPTDELETE, "<bob@test.invalid>"))
must(mt.eom_check(conn, MT_BODYCHANGE, "new body\\r\\n"))
must(not mt.eom_check(conn, MT_QUARANTINE))`,
    ],
    [
      'sees a recipient refused with a reply',
      `good(mt.rcptto(conn, "<no@test.invalid>"))
answer(conn, SMFIR_REPLYCODE)
-- It can look into replies at the end of a message only.
${message()}
answer(conn, SMFIR_CONTINUE)`,
    ],
    [
      'sees a quarantine',
      `${message('X-Odd')}
answer(conn, SMFIR_CONTINUE)
must(mt.eom_check(conn, MT_QUARANTINE, "looks odd"))`,
    ],
    [
      'sees a message refused, and none of the changes',
      `${message('X-Bad')}
answer(conn, SMFIR_REPLYCODE)
must(mt.eom_check(conn, MT_SMTPREPLY, "554", "5.7.0", "Bad"))
must(not mt.eom_check(conn, MT_HDRADD))
must(not mt.eom_check(conn, MT_BODYCHANGE))`,
    ],
    [
      'plays another message after an abort',
      `good(mt.abort(conn))
good(mt.mailfrom(conn, "<ann@one.test>"))
answer(conn, SMFIR_CONTINUE)
${message()}
answer(conn, SMFIR_CONTINUE)
must(mt.eom_check(conn, MT_HDRADD, "X-Seen"))`,
    ],
  ])('%s', async (_, script) => {
    await using t = await serving(Filter);
    await runMiltertest(t.server.address, `${PRELUDE}${script}\nmt.disconnect(conn)\n`);
    await t.idle();
  });
});
