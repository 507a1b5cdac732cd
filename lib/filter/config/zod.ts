/** The one place that imports zod: the describer of values that options of modules are made of. */
import { z } from 'zod';

// Options are read once: making code for that would take longer than reading them.
z.config({ jitless: true });

export { z };
