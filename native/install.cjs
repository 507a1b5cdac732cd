// Runs at `npm install`: takes the prebuilt addon that fits, or builds one. Windows has no libmilter, so there is nothing
// to build: the package can be imported there, and serve() says so.
if (process.platform !== 'win32') require('node-gyp-build/bin.js');
