/** Text as its reader sees it, whatever characters it is written in: one spelling for each word. */

/** Characters that take no room, or change only the look of the one before. */
const UNSEEN = /\p{Default_Ignorable_Code_Point}/gu;
/** Marks on Latin letters that have no letter of their own: put there to hide the word. */
const STRAY_MARKS = /(?<=[a-z])\p{Mn}+/gu;
const ASCII = /^[\0-\x7f]*$/;

/** Whether it is ASCII alone, for which everything here is quick. */
export function isPlain(text: string): boolean {
  return ASCII.test(text);
}

/** Lower case, in compatibility composition (NFKC), without what is not seen. */
export function plainText(text: string): string {
  if (isPlain(text)) return text.toLowerCase();
  return text.replace(UNSEEN, '').normalize('NFKC').toLowerCase().replace(STRAY_MARKS, '');
}

/** Letters of other scripts by the Latin letter that they look like. */
const LOOK_ALIKES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    а: 'a',
    в: 'b',
    ь: 'b',
    с: 'c',
    ԁ: 'd',
    е: 'e',
    ё: 'e',
    һ: 'h',
    н: 'h',
    і: 'i',
    ї: 'i',
    ј: 'j',
    к: 'k',
    ӏ: 'l',
    м: 'm',
    п: 'n',
    о: 'o',
    р: 'p',
    ԛ: 'q',
    г: 'r',
    ѕ: 's',
    т: 't',
    ц: 'u',
    ѵ: 'v',
    ԝ: 'w',
    ш: 'w',
    х: 'x',
    у: 'y',
    ү: 'y',
    з: '3',
    α: 'a',
    β: 'b',
    ϲ: 'c',
    δ: 'd',
    ε: 'e',
    ϵ: 'e',
    η: 'n',
    ι: 'i',
    κ: 'k',
    ν: 'v',
    ο: 'o',
    ρ: 'p',
    σ: 'o',
    τ: 't',
    υ: 'u',
    χ: 'x',
    γ: 'y',
    ω: 'w',
    μ: 'u',
    ɑ: 'a',
    ᴀ: 'a',
    ʙ: 'b',
    ᴄ: 'c',
    ᴅ: 'd',
    ᴇ: 'e',
    ɡ: 'g',
    ɢ: 'g',
    ʜ: 'h',
    ı: 'i',
    ɪ: 'i',
    ᴊ: 'j',
    ᴋ: 'k',
    ʟ: 'l',
    ᴍ: 'm',
    ɴ: 'n',
    ᴏ: 'o',
    ᴘ: 'p',
    ʀ: 'r',
    ᴛ: 't',
    ᴜ: 'u',
    ᴠ: 'v',
    ᴡ: 'w',
    ʏ: 'y',
    ᴢ: 'z',
    օ: 'o',
    ո: 'n',
    ս: 'u',
    հ: 'h',
    ց: 'g',
    զ: 'q',
    ք: 'p',
    à: 'a',
    á: 'a',
    â: 'a',
    ã: 'a',
    ä: 'a',
    å: 'a',
    ç: 'c',
    è: 'e',
    é: 'e',
    ê: 'e',
    ë: 'e',
    ì: 'i',
    í: 'i',
    î: 'i',
    ï: 'i',
    ñ: 'n',
    ò: 'o',
    ó: 'o',
    ô: 'o',
    õ: 'o',
    ö: 'o',
    ø: 'o',
    ù: 'u',
    ú: 'u',
    û: 'u',
    ü: 'u',
    ý: 'y',
    ÿ: 'y',
  }),
);
const FOREIGN = /[\u0370-\u03ff\u0400-\u058f]/;
const LATIN = /[a-z]/;

/** Whether a word is of Latin letters and of such as only look like them. */
export function isMixed(word: string): boolean {
  return FOREIGN.test(word) && LATIN.test(word);
}

/** The word in Latin letters. */
export function latinised(word: string): string {
  return word.replace(/[^\0-\x7f]/g, (letter) => LOOK_ALIKES.get(letter) ?? letter);
}

const DIGITS: Readonly<Record<string, string>> = {
  '0': 'o',
  '1': 'i',
  '!': 'i',
  '3': 'e',
  '4': 'a',
  '@': 'a',
  '5': 's',
  $: 's',
  '7': 't',
  '|': 'i',
};

/** What a word says that is written with digits and signs for letters; undefined for one that is not. */
export function unmasked(word: string): string | undefined {
  if (
    word.length < 4 ||
    !/[a-z][013457@$!|]+[a-z]|^[@$013457][a-z]{2}/.test(word) ||
    !/[a-z].*[a-z]/.test(word)
  )
    return undefined;
  const plain = word.replace(/[013457@$!|]/g, (sign) => DIGITS[sign] ?? sign);
  return /^[a-z'-]+$/.test(plain) ? plain : undefined;
}
