// See macros.h.
#include "macros.h"

#include <functional>

namespace milter {

Macros::Known& Macros::Get(const std::string& name) {
  Known& known = known_[name];
  if (known.name.empty()) known.name = name;
  return known;
}

std::optional<std::string_view> Macros::Find(const Known& known, Sighting& now) const {
  // The parameter is not const, but libmilter only reads it.
  const char* value = library_.getsymval(context_, const_cast<char*>(known.name.c_str()));
  if (value == nullptr) return std::nullopt;
  const std::string_view text(value);
  now = Sighting{value, std::hash<std::string_view>{}(text)};
  return text;
}

void Macros::BeginMessage() {
  renewed_ = fresh_;
  fresh_ = false;
  for (auto& entry : known_) {
    Known& known = entry.second;
    Sighting now;
    Find(known, now);
    known.at_mail = now == known.of_connection ? Sighting{} : now;
    if (known.at_mail.where != nullptr && !(known.at_mail == known.last)) renewed_ = true;
  }
  for (auto& entry : known_) {
    Known& known = entry.second;
    const bool stayed = known.at_mail.where != nullptr && known.at_mail == known.last;
    if (stayed && renewed_) known.of_connection = known.at_mail;
    known.old = stayed && !renewed_;
    known.last = known.at_mail;
    known.told = Sighting{};
  }
}

void Macros::Forget() {
  fresh_ = true;
  renewed_ = true;
  for (auto& entry : known_) {
    entry.second.last = Sighting{};
    entry.second.old = false;
  }
}

std::string_view Macros::Collect(const Plan& plan, Stage stage) {
  packed_.clear();
  if (stage == Stage::kHelo) Forget();
  const std::vector<uint8_t>& wanted = plan.stage_macros[Index(stage)];
  if (wanted.empty()) return {};
  if (by_index_.size() != plan.macros.size()) {
    by_index_.clear();
    for (const std::string& name : plan.macros) by_index_.push_back(&Get(name));
  }
  if (stage == Stage::kEnvfrom) BeginMessage();
  const bool of_connection = stage <= Stage::kHelo;
  uint8_t count = 0;
  packed_.U8(0);
  packed_.U32(0);
  for (const uint8_t index : wanted) {
    Known& known = *by_index_[index];
    Sighting now;
    const auto value = Find(known, now);
    if (!value || now == known.of_connection || now == known.told || (known.old && now == known.at_mail))
      continue;
    (of_connection ? known.of_connection : known.told) = now;
    packed_.U8(index);
    packed_.Text(*value);
    count++;
  }
  if (count == 0) return {};
  packed_.PatchU8(0, count);
  packed_.PatchU32(sizeof count, static_cast<uint32_t>(packed_.size() - sizeof count - sizeof(uint32_t)));
  return packed_.view();
}

std::optional<std::string> Macros::Lookup(const std::string& name) {
  const bool watched = known_.count(name) != 0;
  // Remembered, so that the next MAIL is watched for it too.
  Known& known = Get(name);
  Sighting now;
  const auto value = Find(known, now);
  if (!watched && !renewed_) {
    known.at_mail = now;
    known.old = true;
  }
  if (!value || (known.old && now == known.at_mail)) return std::nullopt;
  known.last = now;
  return std::string(*value);
}

}  // namespace milter
