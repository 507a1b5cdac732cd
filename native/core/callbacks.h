// The xxfi_* functions that libmilter calls, and which server they belong to.
//
// Threads: libmilter's. None of them throws: an exception must not cross into C, and becomes a tempfail.
#pragma once

#include <cstddef>
#include <memory>

#include "library.h"

namespace milter {

class Server;

// libmilter gives its callbacks nothing that says which server they serve. A session knows its own; the first
// callback of a connection is therefore made once for each of these places.
inline constexpr size_t kServerPlaces = 32;

// Finds a place for a server. Returns kServerPlaces when all are taken.
size_t TakePlace(std::shared_ptr<Server> server);
void LeavePlace(size_t place);

// The descriptor for smfi_register().
smfiDesc Callbacks(size_t place);

}  // namespace milter
