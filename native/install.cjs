// Runs at `npm install`: takes the prebuilt addon that fits, or builds one. Without it the package is installed all the
// same, since only serving needs it: serve() then says what these lines say. Windows has no libmilter to build for.
const { spawnSync } = require('node:child_process');
const { adviseOnAddon } = require('./requirements.cjs');

if (process.platform !== 'win32') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [require.resolve('node-gyp-build/bin.js')], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) {
    const { why, how } = adviseOnAddon();
    // Those who asked to see it.
    if (process.env.npm_config_foreground_scripts === 'true') process.stderr.write(stdout + stderr);
    process.stderr.write(
      `libmilter: ${why}\nlibmilter: ${how}\nlibmilter: until then all but serving works: libmilter/spf, /dns, /mime, /testing\n`,
    );
  }
}
