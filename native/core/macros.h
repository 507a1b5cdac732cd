// Reads libmilter's macros and knows which of them are still true.
//
// libmilter keeps a stage's macros until the MTA sends new ones for that stage, so the queue id of one message is
// still found in the next. A packet of macros is read into fresh memory while the old one is still held, so a value
// that stands where it stood in an earlier message is an old one, and is not reported.
//
// Threads: the session's callback thread; or the JavaScript thread while it holds the ticket on which that sleeps.
#pragma once

#include <array>
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

  // Packs what the plan names for `stage` and JavaScript has not been told: a count, then indexes and values.
  // The view lives until the next call.
  std::string_view Collect(const Plan& plan, Stage stage);

  // Looks any name up. Nothing when it is undefined, or left over from an earlier message.
  std::optional<std::string> Lookup(const std::string& name, Stage stage);

  void MessageEnded() { message_++; }

 private:
  struct Sighting {
    const char* where = nullptr;
    size_t hash = 0;
    uint32_t message = 0;
  };
  using Sightings = std::array<Sighting, kStages>;

  // Whether this value was sent in an earlier message, or was already reported in this one.
  bool SeenBefore(const Sightings& sightings, const Sighting& now, Stage stage) const;
  Sightings& For(const std::string& name) { return sightings_[name]; }

  const Library& library_;
  SMFICTX* const context_;
  uint32_t message_ = 1;
  std::vector<Sightings*> known_;  // By index in the plan; points into sightings_.
  std::unordered_map<std::string, Sightings> sightings_;  // Its elements never move.
  ByteWriter packed_;
};

}  // namespace milter
