/** Whether a sender's signature is ours. */
import { createSes, type Ses, type SesOptions, type SesReport, SrsError } from '../srs/index.ts';
import type { SesCheck } from './zone.ts';

/** How signatures are checked. */
export interface SesCheckOptions {
  /** How they are made, asked each time: other secrets are another array. */
  readonly signing: () => SesOptions;
  /** Whether a signature that is ours was used up by bounces. Where it rejects the question is answered SERVFAIL. @default none is */
  readonly isUsed?: ((report: SesReport) => boolean | Promise<boolean>) | undefined;
}

/** Makes what `ZoneOptions.ses` takes. */
export function makeSesCheck({ signing, isUsed = () => false }: SesCheckOptions): SesCheck {
  let made: { readonly by: readonly string[]; readonly ses: Ses } | undefined;
  return async (local, domain) => {
    const current = signing();
    if (current.secrets.length === 0) return false;
    if (made?.by !== current.secrets) made = { by: current.secrets, ses: createSes(current) };
    try {
      const report = made.ses.inspect(`${local}@${domain}`);
      return report.fault === undefined && !(await isUsed(report));
    } catch (error) {
      if (error instanceof SrsError) return false;
      throw error;
    }
  };
}
