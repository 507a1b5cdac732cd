/** The processing limits of RFC 7208 section 4.6.4. */

/** Terms that ask DNS, in one check. */
export const MAX_LOOKUPS = 10;
/** Of their queries, those that may find nothing. */
export const MAX_VOID_LOOKUPS = 2;
/** Names looked at for one `mx` or `ptr`. */
export const MAX_NAMES = 10;
