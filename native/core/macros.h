// Reads libmilter's macros and knows which of them are still true.
//
// libmilter keeps what came with MAIL until the MTA sends new macros with another MAIL, so the queue id of
// one message is still found in the next; what came with later stages it forgets at MAIL, and all of it at
// HELO. New macros are read into fresh memory while the old ones are still held. So a value that at MAIL
// stands where it was last found is none of this message: it came with connect or helo if others are new, for
// then MAIL brought macros and it is not among them; else it may be an earlier message's, and is hidden until
// the next.
//
// Threads: the session's callback thread; or the JavaScript thread while it holds the ticket on which that
// sleeps.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bytes.h"
#include "library.h"
#include "plan.h"

namespace milter {

class Macros {
 public:
  Macros(const Library& library, SMFICTX* context) : library_(library), context_(context) {}

  // Packs what the plan names for `stage` and JavaScript has not been told: a count, a length in bytes, then
  // indexes and values; nothing when there is no news. The view lives until the next call.
  std::string_view Collect(const Plan& plan, Stage stage);

  // Looks any name up. Nothing when it is undefined, or left over from an earlier message.
  std::optional<std::string> Lookup(const std::string& name);

 private:
  // A value and where it stands.
  struct Sighting {
    const char* where = nullptr;
    size_t hash = 0;
    bool operator==(const Sighting& other) const { return where == other.where && hash == other.hash; }
  };
  struct Known {
    std::string name;
    Sighting of_connection;  // Came with connect or helo, and holds until the end.
    Sighting at_mail;        // Found at this MAIL.
    Sighting last;           // Found last: at this MAIL, or by a look-up after it.
    Sighting told;           // What JavaScript was last told in this message.
    bool old = false;        // What was found at this MAIL may have come with an earlier one.
  };

  Known& Get(const std::string& name);
  // The value as it stands, if it is defined.
  std::optional<std::string_view> Find(const Known& known, Sighting& now) const;
  // Sorts the values found at MAIL into old and new ones.
  void BeginMessage();
  // HELO: libmilter has forgotten all messages.
  void Forget();

  const Library& library_;
  SMFICTX* const context_;
  std::unordered_map<std::string, Known> known_;  // Its elements never move.
  std::vector<Known*> by_index_;                  // By index in the plan.
  bool fresh_ = true;                             // No message has begun since connect or HELO.
  bool renewed_ = true;                           // No macro of an earlier message can be left in this one.
  ByteWriter packed_;
};

}  // namespace milter
