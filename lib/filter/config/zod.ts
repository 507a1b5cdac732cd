/** The one place that imports zod: the describer of values that options of modules are made of. */
export { z } from 'zod';
