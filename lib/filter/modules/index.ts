/** The modules that come with the filter. */
import type { AnyModule } from '../module.ts';

/** By name; each is loaded when a configuration uses it. */
export const ownModules: Readonly<Record<string, () => Promise<{ readonly default: AnyModule }>>> = {
  access: () => import('./access/index.ts'),
  antivirus: () => import('./antivirus/index.ts'),
  attachments: () => import('./attachments/index.ts'),
  auth: () => import('./auth/index.ts'),
  bounces: () => import('./bounces/index.ts'),
  bayes: () => import('./bayes/index.ts'),
  callout: () => import('./callout/index.ts'),
  confirm: () => import('./confirm/index.ts'),
  copies: () => import('./copies/index.ts'),
  disclaimer: () => import('./disclaimer.ts'),
  dnsbl: () => import('./dnsbl/index.ts'),
  forwarders: () => import('./forwarders/index.ts'),
  greylist: () => import('./greylist/index.ts'),
  headers: () => import('./headers/index.ts'),
  helo: () => import('./helo.ts'),
  html: () => import('./html.ts'),
  known: () => import('./known.ts'),
  networks: () => import('./networks.ts'),
  ptr: () => import('./ptr.ts'),
  ratelimit: () => import('./ratelimit/index.ts'),
  recipients: () => import('./recipients/index.ts'),
  score: () => import('./score.ts'),
  spam: () => import('./spam/index.ts'),
  spf: () => import('./spf/index.ts'),
  srs: () => import('./srs/index.ts'),
};
