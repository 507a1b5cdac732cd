/** The modules that look at the parts of a message, on the real libmilter: what they change, and in what order. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { MemoryResolver } from '../../../lib/testing/index.ts';
import { attached, PROGRAM } from '../../fixtures/filter/attached.ts';
import { makeZip } from '../../fixtures/mime/archives.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { serving } from '../../helpers/server.ts';

const HTML = attached({
  name: 'a.htm',
  type: 'text/html',
  content: '<p onclick=x>a</p><script>b</script><img src=//t.example/x>',
});

/** Sends messages one after the other over one connection; gives what is delivered of each, and the findings. */
async function sendAll(modules: string, emls: readonly string[], top = '') {
  const filter = await openFilter(
    `socket = "inet:0@127.0.0.1"\n${top}\n[log]\nlevel = "error"\n[store]\nurl = "memory:"\n${modules}`,
    { resolver: new MemoryResolver({}) },
  );
  try {
    await using server = await serving(filter.Filter);
    await using mta = await server.mta();
    const results = [];
    for (const eml of emls) {
      const { verdict, message } = await mta.sendMessage(eml, {
        client: { hostname: 'mail.example.org', address: '192.0.2.7' },
        helo: 'mail.example.org',
        sender: 'a@example.org',
        recipients: ['b@example.com'],
      });
      const [record] = await filter.history.find({});
      results.push({
        verdict,
        body: message.body.toString(),
        found: record?.findings.map(({ name }) => name),
      });
    }
    return results;
  } finally {
    await filter.close();
  }
}

describe('on the real libmilter', () => {
  it('attachments replaces what is dangerous, saves it first, and leaves the next message alone', async () => {
    await using directory = await temporaryDirectory();
    const eml = attached({ name: 'a.pdf', content: PROGRAM }, { name: 'b.txt', content: 'kept' });
    const [bad, clean] = await sendAll(
      '[[module]]\nuse = "attachments"\nsave = "removed/"\n',
      [eml, attached({ name: 'b.txt', content: 'kept' })],
      `data = "${directory.path}"`,
    );
    expect(bad).toMatchObject({ verdict: 'continue', found: ['attachments-programs'] });
    expect(bad?.body).toContain('WARNING.TXT');
    expect(bad?.body).toContain(Buffer.from('kept').toString('base64'));
    expect(bad?.body).not.toContain(PROGRAM.toString('base64'));
    const [saved = ''] = readdirSync(join(directory.path, 'removed'));
    expect(readFileSync(join(directory.path, 'removed', saved), 'latin1')).toContain(
      PROGRAM.toString('base64'),
    );
    expect(clean).toMatchObject({ verdict: 'continue', found: [] });
    expect(clean?.body).toBe(
      attached({ name: 'b.txt', content: 'kept' })
        .split('\n\n')
        .slice(1)
        .join('\n\n')
        .replaceAll('\n', '\r\n'),
    );
  });

  it('html and attachments change one tree, and judge what was received', async () => {
    const zip = makeZip([{ name: 'x.exe', content: PROGRAM }]);
    const eml = HTML.replace(
      '--b--',
      `--b\nContent-Type: application/zip; name=z.zip\nContent-Transfer-Encoding: base64\n\n${zip.toString('base64')}\n--b--`,
    );
    const [result] = await sendAll(
      '[[module]]\nuse = "html"\nremote_images = "remove"\n[[module]]\nuse = "attachments"\n',
      [eml],
    );
    expect(result?.found).toEqual(['html-scripts', 'html-remote-images', 'attachments-extensions']);
    expect(result?.body).toContain(Buffer.from('<p>a</p><img>').toString('base64'));
    expect(result?.body).toContain('x.exe"');
    expect(result?.body).not.toContain(zip.toString('base64').slice(0, 40));
  });

  it('they refuse', async () => {
    const [scripts] = await sendAll('[[module]]\nuse = "html"\nscripts = "reject"\n', [HTML]);
    expect(scripts).toMatchObject({ verdict: 'reject', found: ['html-scripts'] });
    const [program] = await sendAll('[[module]]\nuse = "attachments"\nsenders_rejected = ["example.org"]\n', [
      attached({ name: 'a.exe' }),
    ]);
    expect(program).toMatchObject({ verdict: 'reject', found: ['attachments-extensions'] });
  });
});
