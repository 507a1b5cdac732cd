/** The TypeScript filters that are measured, from the least work to the most. */
import type * as library from '../../lib/index.ts';

/** Which form of our filter to serve. */
export type Form = 'form1' | 'form2' | 'form3' | 'form4';

/** The four filters as subclasses of the given `Milter`, which is the built package's, not the source's. */
export function filters(Milter: typeof library.Milter): Record<Form, typeof library.Milter> {
  class EndOnly extends Milter {
    override eom() {}
  }

  class Envelope extends Milter {
    override envfrom() {}
    override envrcpt() {}
    override eom() {}
  }

  class Every extends Milter {
    override async connect() {}
    override async helo() {}
    override async envfrom() {}
    override async envrcpt() {}
    override async data() {}
    override async unknown() {}
    override async header() {}
    override async eoh() {}
    override async body() {}
    override async eom() {}
    override async abort() {}
    override async close() {}
  }

  class EveryEarly extends Every {
    static override readonly early = ['header', 'eoh', 'body'] as const;
  }

  return { form1: EndOnly, form2: Envelope, form3: Every, form4: EveryEarly };
}
