// Reads a connection's macros, and knows which of them JavaScript has been told.
//
// Threads: the session's callback thread; or the JavaScript thread while it holds the ticket on which that
// sleeps.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bytes.h"
#include "library.h"
#include "plan.h"

namespace milter {

class Macros {
 public:
  Macros(const Library& library, SMFICTX* context) : library_(library), context_(context) {}

  // Packs what the plan names for `stage` and JavaScript has not been told, or was told and is so no more: a
  // count, a length in bytes, then indexes and values; nothing when there is no news. The view lives until
  // the next call. To be called once for each occurrence of the stage.
  std::string_view Collect(const Plan& plan, Stage stage);

  // Looks any name up. Nothing when it is undefined.
  std::optional<std::string> Lookup(const std::string& name) const;

  // The message's macros are not to be seen in the next.
  void EndMessage() { library_.macro_lists.EndMessage(context_); }

 private:
  // What JavaScript holds of one name: what came until helo, and what came since MAIL.
  struct Told {
    std::optional<std::string> of_session;
    std::optional<std::string> of_message;
  };

  // The value as it stands, null when undefined. Needs Mend().
  const char* Find(const std::string& name) const;

  const Library& library_;
  SMFICTX* const context_;
  std::vector<Told> told_;  // By index in the plan.
  ByteWriter packed_;
};

}  // namespace milter
