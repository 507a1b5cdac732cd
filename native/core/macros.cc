// See macros.h.
#include "macros.h"

namespace milter {
namespace {

// Stands for a length, where a name has no value any more.
constexpr uint32_t kGone = 0xffffffff;

}  // namespace

const char* Macros::Find(const std::string& name) const {
  // The parameter is not const, but libmilter only reads it.
  return library_.getsymval(context_, const_cast<char*>(name.c_str()));
}

std::string_view Macros::Collect(const Plan& plan, Stage stage) {
  packed_.clear();
  library_.macro_lists.Came(context_, stage);
  const bool of_session = stage <= Stage::kHelo;
  // What was told of a message holds for no other, even where the plan asks for nothing at its beginning.
  if (of_session || stage == Stage::kEnvfrom) {
    for (Told& told : told_) told.of_message.reset();
  }
  const std::vector<uint8_t>& wanted = plan.stage_macros[Index(stage)];
  if (wanted.empty()) return {};
  library_.macro_lists.Mend(context_);
  told_.resize(plan.macros.size());
  uint8_t count = 0;
  packed_.U8(0);
  packed_.U32(0);
  for (const uint8_t index : wanted) {
    const char* value = Find(plan.macros[index]);
    Told& told = told_[index];
    auto& here = of_session ? told.of_session : told.of_message;
    if (value == nullptr) {
      if (!here) continue;
      here.reset();
      packed_.U8(index);
      packed_.U32(kGone);
    } else {
      const auto& shown = told.of_message ? told.of_message : told.of_session;
      if (shown && *shown == value) continue;
      here = value;
      packed_.U8(index);
      packed_.Text(value);
    }
    count++;
  }
  if (count == 0) return {};
  packed_.PatchU8(0, count);
  packed_.PatchU32(sizeof count, static_cast<uint32_t>(packed_.size() - sizeof count - sizeof(uint32_t)));
  return packed_.view();
}

std::optional<std::string> Macros::Lookup(const std::string& name) const {
  library_.macro_lists.Mend(context_);
  const char* value = Find(name);
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace milter
