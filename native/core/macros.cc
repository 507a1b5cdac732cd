// See macros.h.
#include "macros.h"

#include <functional>

namespace milter {

namespace {

// Values that came with connect or helo hold for the whole connection.
bool OfConnection(Stage stage) { return stage <= Stage::kHelo; }

}  // namespace

bool Macros::SeenBefore(const Sightings& sightings, const Sighting& now, Stage stage) const {
  const auto same = [&now](const Sighting& then) { return then.where == now.where && then.hash == now.hash; };
  if (same(sightings[Index(Stage::kConnect)]) || same(sightings[Index(Stage::kHelo)])) return true;
  return same(sightings[Index(stage)]);
}

std::string_view Macros::Collect(const Plan& plan, Stage stage) {
  packed_.clear();
  const std::vector<uint8_t>& wanted = plan.stage_macros[Index(stage)];
  if (wanted.empty()) return {};
  if (known_.size() != plan.macros.size()) {
    known_.clear();
    for (const std::string& name : plan.macros) known_.push_back(&For(name));
  }
  uint8_t count = 0;
  packed_.U8(0);
  for (const uint8_t index : wanted) {
    // The parameter is not const, but libmilter only reads it.
    const char* value = library_.getsymval(context_, const_cast<char*>(plan.macros[index].c_str()));
    Sightings& sightings = *known_[index];
    if (value == nullptr) {
      sightings[Index(stage)] = Sighting{};
      continue;
    }
    const std::string_view text(value);
    const Sighting now{value, std::hash<std::string_view>{}(text), message_};
    if (SeenBefore(sightings, now, stage)) continue;
    sightings[Index(stage)] = now;
    packed_.U8(index);
    packed_.Text(text);
    count++;
  }
  if (count == 0) return {};
  packed_.PatchU8(0, count);
  return packed_.view();
}

std::optional<std::string> Macros::Lookup(const std::string& name, Stage stage) {
  const char* value = library_.getsymval(context_, const_cast<char*>(name.c_str()));
  if (value == nullptr) return std::nullopt;
  const std::string_view text(value);
  const Sighting now{value, std::hash<std::string_view>{}(text), message_};
  Sightings& sightings = For(name);
  if (!OfConnection(stage)) {
    for (const Sighting& then : sightings) {
      const bool old = then.where == now.where && then.hash == now.hash && then.message != message_;
      const bool lasting = &then <= &sightings[Index(Stage::kHelo)];
      if (old && !lasting) return std::nullopt;
    }
  }
  sightings[Index(stage)] = now;
  return std::string(text);
}

}  // namespace milter
