// Packs answers as lib/run/answers.ts does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "../core/bytes.h"

namespace milter::test {

// Action codes, as in lib/milter/actions.ts.
enum class Act : uint8_t {
  kAddHeader,
  kInsertHeader,
  kChangeHeader,
  kChangeFrom,
  kAddRcpt,
  kDeleteRcpt,
  kReplaceBody,
  kQuarantine
};

struct RecordedAction {
  Act act;
  uint32_t index;
  std::string first;
  std::string second;
};

inline void PutText(ByteWriter& to, std::string_view text) {
  to.Text(text);
  to.U8(0);
}

inline std::string PackReply(std::string_view code, std::string_view enhanced,
                             const std::vector<std::string>& lines) {
  ByteWriter reply;
  PutText(reply, code);
  PutText(reply, enhanced);
  reply.U32(static_cast<uint32_t>(lines.size()));
  for (const std::string& line : lines) PutText(reply, line);
  ByteWriter packed;
  packed.U8(1);
  PutText(packed, reply.view());
  return packed.Take();
}

inline std::string PackActions(const std::vector<RecordedAction>& actions) {
  ByteWriter list;
  list.U32(static_cast<uint32_t>(actions.size()));
  for (const RecordedAction& action : actions) {
    list.U8(static_cast<uint8_t>(action.act));
    list.U32(action.index);
    PutText(list, action.first);
    PutText(list, action.second);
  }
  ByteWriter packed;
  packed.U8(2);
  PutText(packed, list.view());
  return packed.Take();
}

}  // namespace milter::test
