/**
 * What is dangerous to open: by extension and by content type.
 */
import { extensionsOf } from './names.ts';

/** The classic list of extensions that Windows runs: the defaults of pymilter, whose users know them. */
export const bannedExtensions: readonly string[] =
  'ade adp asd asx asp bas bat chm cmd com cpl crt dll exe hlp hta inf ins isp js jse lnk mdb mde msc msi msp mst ocx pcd pif reg scr sct shs url vb vbe vbs wsc wsf wsh'.split(
    ' ',
  );

/** What came since: disk images, newer script hosts and installers, Office files with macros, shortcuts of newer kinds. */
export const modernBannedExtensions: readonly string[] =
  'app application appref-ms appx appxbundle apk cab desktop diagcab dmg docm dotm gadget hpj img iso iqy jar jnlp library-ms mht mhtml msh msh1 msh2 msix msu one onepkg ops osd pkg potm ppam ppsm pptm prg ps1 ps1xml ps2 psc1 psd1 psm1 py pyc pyo pyw pyz rdp scf search-ms settingcontent-ms shb sldm slk svg sys theme udl vhd vhdx vmdk website wim ws xbap xla xlam xll xlm xlsm xltm xnk'.split(
    ' ',
  );

/** Content types of programs. */
export const bannedContentTypes: readonly string[] = [
  'application/hta',
  'application/x-bat',
  'application/x-dosexec',
  'application/x-executable',
  'application/x-msdos-program',
  'application/x-msdownload',
  'application/x-ms-installer',
  'application/x-ms-shortcut',
  'application/x-msi',
  'application/x-vbs',
  'application/vnd.microsoft.portable-executable',
  'text/vbscript',
];

/**
 * The extension of this name if it is among the banned ones, lower case; undefined otherwise. The name is seen as Windows
 * sees it: without final dots and spaces and without characters that show nothing or turn the writing round; and as those see
 * it who end a name at a NUL or a colon. A class identifier as extension is always banned.
 */
export function bannedExtension(name: string, banned: ReadonlySet<string>): string | undefined {
  return extensionsOf(name).find(
    (extension) => banned.has(extension) || /^\{[0-9a-f-]{36}\}$/.test(extension),
  );
}
