// The stages of a milter session and libmilter's words about them. Plain constants: no thread owns them.
#pragma once

#include <libmilter/mfapi.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace milter {

// The order is shared with lib/protocol/stages.ts; the numbers cross the border.
enum class Stage : uint8_t {
  kNegotiate = 0,
  kConnect = 1,
  kHelo = 2,
  kEnvfrom = 3,
  kEnvrcpt = 4,
  kData = 5,
  kUnknown = 6,
  kHeader = 7,
  kEoh = 8,
  kBody = 9,
  kEom = 10,
  kAbort = 11,
  kClose = 12,
};
inline constexpr size_t kStages = 13;

constexpr size_t Index(Stage stage) { return static_cast<size_t>(stage); }

// What a filter class wants of a stage.
enum class Mode : uint8_t {
  kOff = 0,     // Nobody needs it: switched off with SMFIP_NO* where the MTA offers that.
  kRecord = 1,  // Gathered and delivered with the next stage that waits; answered with SMFIP_NR_*.
  kWait = 2,    // Crosses, and libmilter's thread waits for the verdict.
};

struct StageFlags {
  unsigned long off;       // The SMFIP_NO* bit, 0 where there is none.
  unsigned long no_reply;  // The SMFIP_NR_* bit, 0 where there is none.
};

inline constexpr std::array<StageFlags, kStages> kStageFlags = {{
    {0, 0},
    {SMFIP_NOCONNECT, SMFIP_NR_CONN},
    {SMFIP_NOHELO, SMFIP_NR_HELO},
    {SMFIP_NOMAIL, SMFIP_NR_MAIL},
    {SMFIP_NORCPT, SMFIP_NR_RCPT},
    {SMFIP_NODATA, SMFIP_NR_DATA},
    {SMFIP_NOUNKNOWN, SMFIP_NR_UNKN},
    {SMFIP_NOHDRS, SMFIP_NR_HDR},
    {SMFIP_NOEOH, SMFIP_NR_EOH},
    {SMFIP_NOBODY, SMFIP_NR_BODY},
    {0, 0},
    {0, 0},
    {0, 0},
}};

}  // namespace milter
