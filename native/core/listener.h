// The socket on which a libmilter listens: has it opened, knows its address, dials it, and clears away what
// libmilter leaves at the end: connections that nobody reads, and the file of a unix socket.
//
// Threads: Open() on the server's thread, before smfi_main() runs; from then on all is constant, and the rest
// may be called from any thread. `changing`, process-wide, is held while a server opens its socket or gives
// it up, so that what comes and goes meanwhile is its own.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <functional>
#include <string>

#include "library.h"

namespace milter {

// What libmilter is told before it listens.
struct ListenOptions {
  std::string socket;          // libmilter's spec, already checked by lib/protocol/socket.ts.
  std::string unix_path;       // The path in a unix spec, else empty.
  int socket_mode = -1;        // Permission bits for a unix socket; -1 leaves them to the umask.
  int socket_group = -1;       // Group id for a unix socket; -1 leaves it.
  int backlog = 0;             // 0: libmilter's default.
  int timeout_seconds = 0;     // 0: libmilter's default, 7210.
  int debug = 0;               // For smfi_setdbg.
  uint32_t max_data_size = 0;  // For smfi_setmaxdatasize; 0: libmilter's default, 65535.
};

// Why a server cannot start. The order is shared with binding/native_server.cc.
enum class StartFault { kNone, kAddressInUse, kSocket, kUnsupported, kResource };

class Listener {
 public:
  Listener() = default;
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Has libmilter listen and call `callbacks`. `reason` is a sentence about a fault. `opened` tells whether
  // the library has a socket now, which after a fault it gives up in smfi_stop().
  struct Outcome {
    StartFault fault = StartFault::kNone;
    bool opened = false;
    std::string reason;
  };
  Outcome Open(const Library& library, const ListenOptions& options, const smfiDesc& callbacks);

  // As a libmilter spec with the real port; the spec given, where the socket could not be found.
  std::string Spec() const;
  // Connects and hangs up. Never blocks. False when that cannot be done. Reaches a unix socket also when its
  // file is gone or another's.
  bool Dial() const;
  // Whether `fd` is a connection that was accepted here.
  bool Accepted(int fd) const;
  // Runs `stop`, after which libmilter listens no more, and clears away what it leaves: connections that it
  // accepted in its last moment and will never read, and, when root runs it, the file of a unix socket.
  void GiveUp(const std::function<void()>& stop) const;

 private:
  // As getsockname() tells it.
  struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;  // 0: unknown.
  };
  static Address AddressOf(int fd);
  const char* Path() const;
  bool OpenSocket(const Library& library, const smfiDesc& callbacks);
  bool OpenPassed(const Library& library, const smfiDesc& callbacks, std::string& reason);
  bool LetLibraryOpen(const Library& library, const smfiDesc& callbacks, const std::string& spec);
  bool GiveFileAway(std::string& reason);
  void HangUpOrphans() const;
  void RemoveFile() const;

  ListenOptions options_;
  Address address_;
  int file_ = -1;          // The file of a unix socket, whatever becomes of its name. Linux; -1: unknown.
  dev_t file_device_ = 0;  // The file that we made, so that a successor's is never removed.
  ino_t file_inode_ = 0;
};

}  // namespace milter
