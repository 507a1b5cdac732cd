// Reads what the core packed, as lib/engine/libmilter/records.ts does; lib/engine/libmilter/addon.ts
// documents the layout.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "../core/stage.h"

namespace milter::test {

struct Record {
  Stage stage;
  std::map<uint8_t, std::string> macros;  // By index in the plan.
  std::set<uint8_t> gone;                 // Those that have no value any more.
  std::vector<std::string> texts;  // In the order of the layout: arguments, names and values, the body.
  std::vector<uint32_t> numbers;   // Likewise.
};

// Throws at anything that is not as documented. `large_body` is what came apart.
std::vector<Record> ReadRecords(std::string_view packed, std::string_view large_body = {});

// The stages alone, as "envfrom envrcpt".
std::string StagesIn(std::string_view packed);

const char* NameOf(Stage stage);

}  // namespace milter::test
