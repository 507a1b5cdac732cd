// Gathers what the MTA said until JavaScript has to know it: the stages of the connection and of the message
// under way, packed as they will cross.
//
// Threads: only the session's callback thread of the moment; libmilter never runs two callbacks of one
// connection at once.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "bytes.h"
#include "plan.h"

namespace milter {

class Recorder {
 public:
  // `plan` must outlive the recorder's use of it.
  void SetPlan(const Plan& plan) { plan_ = &plan; }

  void Negotiation(unsigned long actions, unsigned long steps);
  void Connect(std::string_view hostname, const sockaddr* address, std::string_view macros);
  void Text(Stage stage, std::string_view text, std::string_view macros);
  void Envelope(Stage stage, char** arguments, std::string_view macros);
  void Plain(Stage stage, std::string_view macros);
  void Header(std::string_view name, std::string_view value);
  void Body(std::string_view chunk);
  // Closes the body's record; `whole` is false when the MTA will send no more of it.
  void Eom(std::string_view macros);

  // Drops what was gathered of the message: it ended and nobody ever heard of it.
  void DropMessage();

  // Hands over all that was gathered, and a large body apart.
  void Take(std::string& records, std::string& body);

 private:
  ByteWriter& For(Stage stage) { return stage <= Stage::kHelo ? connection_ : message_; }
  void Begin(ByteWriter& to, Stage stage, std::string_view macros);
  void FlushHeaders();
  void FlushBody();

  const Plan* plan_ = nullptr;
  ByteWriter connection_;
  ByteWriter message_;
  ByteWriter headers_;
  uint32_t header_count_ = 0;
  std::string body_;
  std::vector<uint32_t> chunks_;  // Their lengths, if the plan wants them.
  bool body_seen_ = false;
  bool body_complete_ = true;
  std::string large_body_;  // Flushed, and too large to copy into the records.
};

}  // namespace milter
