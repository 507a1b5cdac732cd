// What a filter class wants, compiled by lib/run/plan.ts into what the libmilter side needs to know.
// Constant once made, shared by every session that was negotiated under it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "answer.h"
#include "stage.h"

namespace milter {

using Clock = std::chrono::steady_clock;

struct Plan {
  uint32_t id = 0;
  std::array<Mode, kStages> modes{};
  std::array<std::chrono::milliseconds, kStages> deadlines{};
  bool asks_at_negotiate = false;    // The class overrides negotiate(), or a factory chooses the class.
  bool rejected_recipients = false;  // Ask for SMFIP_RCPT_REJ.
  bool body_chunks = false;          // A late body handler wants the chunks as they came.
  uint64_t max_body = 0;             // Bytes kept of one body.
  Answer on_error;                   // For a handler that overran its deadline.
  std::vector<std::string> macros;   // As libmilter wants them; at most 255, addressed by index.
  std::array<std::vector<uint8_t>, kStages> stage_macros;  // Indexes into `macros`, looked up at that stage.
  std::array<std::string, kStages> requested_macros;  // For smfi_setsymlist; empty: leave that stage alone.
};

}  // namespace milter
