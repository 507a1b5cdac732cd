// Finding, loading and copying libmilter. See library.h. Threads: any; `guard` covers the process-wide state.
#include "library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mman.h>
#include <sys/sendfile.h>
#endif

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string_view>
#include <vector>

namespace milter {
namespace {

// Debian and Ubuntu, Alpine and Gentoo, Fedora and its family and openSUSE, FreeBSD, then what development
// packages and MacPorts install.
constexpr const char* kCandidates[] = {
    "libmilter.so.1.0.1",
    "libmilter.so.1.0.2",
    "libmilter.so.1.0",
    "libmilter.so.1",
    "libmilter.so.6",
    "libmilter.so",
    "libmilter.dylib",
    "/opt/local/lib/libmilter.dylib",
    "/usr/local/lib/libmilter.so",
};

constexpr const char* kRemedy =
    "install libmilter (Debian, Ubuntu: apt install libmilter1.0.1; "
    "Fedora, RHEL: dnf install sendmail-milter; Alpine: apk add libmilter; "
    "Arch: a shared libmilter.so, which its own package lacks; FreeBSD: pkg install libmilter; "
    "macOS: port install libmilter), or name the file in MILTER_LIBRARY; engine: 'js' needs none";

template <typename F>
void Resolve(void* handle, const char* name, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(handle, name));
  if (function == nullptr && missing.empty()) missing = name;
}

// Fills the table. Returns the first missing symbol's name, empty when complete.
std::string ResolveAll(void* handle, Library& library) {
  std::string missing;
  Resolve(handle, "smfi_register", library.register_filter, missing);
  Resolve(handle, "smfi_setconn", library.setconn, missing);
  Resolve(handle, "smfi_opensocket", library.opensocket, missing);
  Resolve(handle, "smfi_setbacklog", library.setbacklog, missing);
  Resolve(handle, "smfi_settimeout", library.settimeout, missing);
  Resolve(handle, "smfi_setdbg", library.setdbg, missing);
  Resolve(handle, "smfi_main", library.main, missing);
  Resolve(handle, "smfi_stop", library.stop, missing);
  // smfi_version came with 8.14, and so did today's struct smfiDesc: an older library would misread it.
  Resolve(handle, "smfi_version", library.version, missing);
  std::string optional;  // Not every 8.14 has it.
  Resolve(handle, "smfi_setmaxdatasize", library.setmaxdatasize, optional);
  Resolve(handle, "smfi_getsymval", library.getsymval, missing);
  Resolve(handle, "smfi_setpriv", library.setpriv, missing);
  Resolve(handle, "smfi_getpriv", library.getpriv, missing);
  Resolve(handle, "smfi_setmlreply", library.setmlreply, missing);
  Resolve(handle, "smfi_setsymlist", library.setsymlist, missing);
  Resolve(handle, "smfi_addheader", library.addheader, missing);
  Resolve(handle, "smfi_insheader", library.insheader, missing);
  Resolve(handle, "smfi_chgheader", library.chgheader, missing);
  Resolve(handle, "smfi_chgfrom", library.chgfrom, missing);
  Resolve(handle, "smfi_addrcpt", library.addrcpt, missing);
  Resolve(handle, "smfi_addrcpt_par", library.addrcpt_par, missing);
  Resolve(handle, "smfi_delrcpt", library.delrcpt, missing);
  Resolve(handle, "smfi_replacebody", library.replacebody, missing);
  Resolve(handle, "smfi_quarantine", library.quarantine, missing);
  Resolve(handle, "smfi_progress", library.progress, missing);
  return missing;
}

bool Contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

// Where a file is, so that it can be found again from another folder.
std::string Absolute(const char* path) {
  if (*path == '/') return path;
  char* const real = realpath(path, nullptr);
  std::string absolute = real != nullptr ? real : path;
  std::free(real);
  return absolute;
}

// Whether the library waits for its sockets by select(): it names the function that it uses in its log.
bool UsesSelect(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  return Contains(bytes, {"\0select\0", 8}) && !Contains(bytes, {"\0poll\0", 6});
}

// Opens `file` (RTLD_LOCAL: Debian's libmilter exports hundreds of Sendmail's own globals). `copied` is the
// file of which it is a copy, empty for none.
LoadResult Open(const std::string& file, const std::string& copied = {}) {
  LoadResult result;
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* fault = dlerror();
    const std::string reason = fault != nullptr ? fault : "it cannot be loaded";
    result.fault = LoadResult::Fault::kMissing;
    result.message = Contains(reason, file) ? reason : file + ": " + reason;
    return result;
  }
  auto library = std::make_shared<Library>();
  const std::string missing = ResolveAll(handle, *library);
  if (!missing.empty()) {
    result.fault = LoadResult::Fault::kMissing;
    result.message = file + " has no " + missing + "; libmilter of Sendmail 8.14 or later is needed";
    return result;
  }
  Dl_info info{};
  const bool found = dladdr(reinterpret_cast<void*>(library->main), &info) != 0 && info.dli_fname != nullptr;
  library->path = copied.empty() && found ? Absolute(info.dli_fname) : copied;
  unsigned* version = library->version_number;
  library->version(&version[0], &version[1], &version[2]);
  library->worker_pool = dlsym(handle, "mi_start_session") != nullptr;
  library->uses_select = UsesSelect(library->path);
  library->macro_lists = MacroLists({library->getsymval, library->setpriv, library->getpriv});
  result.library = std::move(library);
  return result;
}

LoadResult OpenFirst() {
  const char* chosen = std::getenv("MILTER_LIBRARY");
  if (chosen != nullptr && *chosen != '\0') {
    LoadResult result = Open(chosen);
    if (!result.library) result.message = "MILTER_LIBRARY: " + result.message;
    return result;
  }
  std::string tried;
  std::string unfit;
  for (const char* candidate : kCandidates) {
    LoadResult result = Open(candidate);
    if (result.library) return result;
    tried += (tried.empty() ? "" : ", ") + std::string(candidate);
    // What is there and does not fit is what the administrator wants to know of.
    const bool absent = Contains(result.message, "No such file") || Contains(result.message, "not found");
    if (!absent && !Contains(unfit, result.message)) unfit += "; " + result.message;
  }
  LoadResult result;
  result.fault = LoadResult::Fault::kMissing;
  result.message = "libmilter was not found (tried " + tried + ")" + unfit + "; " + kRemedy;
  return result;
}

// Process-wide, and never destroyed: libmilter's threads may still run while the process exits.
struct ProcessState {
  std::mutex mutex;
  std::shared_ptr<const Library> original;               // Guarded by mutex.
  bool original_claimed = false;                         // Guarded by mutex.
  std::vector<std::shared_ptr<const Library>> returned;  // Guarded by mutex.
};

ProcessState& State() {
  static ProcessState* const state = std::make_unique<ProcessState>().release();
  return *state;
}

LoadResult FindLocked(ProcessState& state) {
  LoadResult result;
  if (!state.original) {
    result = OpenFirst();
    state.original = result.library;
  }
  result.library = state.original;
  return result;
}

#ifdef __linux__
bool CopyFile(int from, int to) {
  struct stat status{};
  if (fstat(from, &status) != 0) return false;
  off_t left = status.st_size;
  while (left > 0) {
    const ssize_t sent = sendfile(to, from, nullptr, static_cast<size_t>(left));
    if (sent <= 0) return false;
    left -= sent;
  }
  return true;
}

// An anonymous file that may be executed, or, where that is forbidden, an unlinked file in the temporary
// folder.
int AnonymousFile() {
  const int memory = memfd_create("libmilter", MFD_CLOEXEC);
  if (memory >= 0) return memory;
  const char* folder = std::getenv("TMPDIR");
  std::string name =
      std::string(folder != nullptr && *folder != '\0' ? folder : "/tmp") + "/libmilter-XXXXXX";
  const int file = mkostemp(name.data(), O_CLOEXEC);
  if (file >= 0) unlink(name.c_str());
  return file;
}

LoadResult OpenCopy(const Library& original) {
  LoadResult result;
  result.fault = LoadResult::Fault::kNoSecondCopy;
  const int from = open(original.path.c_str(), O_RDONLY | O_CLOEXEC);
  const int to = AnonymousFile();
  const bool copied = from >= 0 && to >= 0 && CopyFile(from, to);
  if (from >= 0) close(from);
  // `to` stays open for good: the loader knows a library by its path, which must not come twice.
  if (copied) result = Open("/proc/self/fd/" + std::to_string(to), original.path);
  if (result.library) return result;
  if (to >= 0) close(to);
  result.fault = LoadResult::Fault::kNoSecondCopy;
  result.message = "a second server in one process needs a private copy of " + original.path +
                   ", which this system does not allow; run it in a process of its own";
  return result;
}
#else
LoadResult OpenCopy(const Library&) {
  LoadResult result;
  result.fault = LoadResult::Fault::kNoSecondCopy;
  result.message =
      "libmilter serves once per process on this platform; run another server in a process of its own";
  return result;
}
#endif

}  // namespace

LoadResult FindLibrary() {
  ProcessState& state = State();
  std::lock_guard lock(state.mutex);
  return FindLocked(state);
}

LoadResult ClaimLibrary() {
  ProcessState& state = State();
  std::lock_guard lock(state.mutex);
  LoadResult result = FindLocked(state);
  if (!result.library) return result;
  if (!state.returned.empty()) {
    result.library = std::move(state.returned.back());
    state.returned.pop_back();
    return result;
  }
  if (state.original_claimed) return OpenCopy(*result.library);
  state.original_claimed = true;
  return result;
}

void ReturnLibrary(std::shared_ptr<const Library> library) {
  ProcessState& state = State();
  std::lock_guard lock(state.mutex);
  state.returned.push_back(std::move(library));
}

}  // namespace milter
