// The user's own libmilter, loaded at run time, as a table of functions.
//
// Its file name differs between distributions, so one binary for all cannot link it. It also keeps its state
// in globals and cannot be restarted: every server after the first gets a private copy of the file.
//
// Thread safety: Load() may be called from any thread; a loaded Library is constant. It is never unloaded,
// because its threads may outlive every server.
#pragma once

#include <libmilter/mfapi.h>

#include <memory>
#include <string>

#include "macro_lists.h"

namespace milter {

struct Library {
  // All but smfi_setmaxdatasize are there; that may be null.
  decltype(&smfi_register) register_filter;
  decltype(&smfi_setconn) setconn;
  decltype(&smfi_opensocket) opensocket;
  decltype(&smfi_setbacklog) setbacklog;
  decltype(&smfi_settimeout) settimeout;
  decltype(&smfi_setdbg) setdbg;
  decltype(&smfi_main) main;
  decltype(&smfi_stop) stop;
  decltype(&smfi_version) version;
  decltype(&smfi_setmaxdatasize) setmaxdatasize;
  decltype(&smfi_getsymval) getsymval;
  decltype(&smfi_setpriv) setpriv;
  decltype(&smfi_getpriv) getpriv;
  decltype(&smfi_setmlreply) setmlreply;
  decltype(&smfi_setsymlist) setsymlist;
  decltype(&smfi_addheader) addheader;
  decltype(&smfi_insheader) insheader;
  decltype(&smfi_chgheader) chgheader;
  decltype(&smfi_chgfrom) chgfrom;
  decltype(&smfi_addrcpt) addrcpt;
  decltype(&smfi_addrcpt_par) addrcpt_par;
  decltype(&smfi_delrcpt) delrcpt;
  decltype(&smfi_replacebody) replacebody;
  decltype(&smfi_quarantine) quarantine;
  decltype(&smfi_progress) progress;

  std::string path;            // The file that was loaded.
  unsigned version_number[3];  // As smfi_version() gives it: major, minor, patch level.
  bool worker_pool;            // Built with _FFR_WORKERS_POOL: few threads serve all connections.
  bool uses_select;            // Built without poll(): no descriptor may be FD_SETSIZE, 1,024, or more.
  MacroLists macro_lists;
};

// What Load() came to: a library, or a sentence for the administrator and a kind for the program.
struct LoadResult {
  enum class Fault { kNone, kMissing, kNoSecondCopy };
  std::shared_ptr<const Library> library;
  Fault fault = Fault::kNone;
  std::string message;
};

// The library itself, for looking at. Does not claim it for a server.
LoadResult FindLibrary();

// A library whose globals nobody has used: the file itself the first time, a private copy from then on.
LoadResult ClaimLibrary();

// Gives a claimed library back with which nothing was opened: the next claim gets it, instead of a copy.
void ReturnLibrary(std::shared_ptr<const Library> library);

}  // namespace milter
