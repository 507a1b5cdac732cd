// The MTA's side of the wire protocol, as raw as a test needs it. Used by one thread at a time.
#pragma once

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/stage.h"

namespace milter::test {

// What the filter sent: a command and its data. A command of 0 stands for the end of the connection.
struct Packet {
  char command = 0;
  std::string data;
};

class Mta {
 public:
  using Macros = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Connects to a libmilter spec (unix: or inet: with an address in digits). Throws where nobody listens.
  explicit Mta(const std::string& address);
  ~Mta();
  Mta(const Mta&) = delete;
  Mta& operator=(const Mta&) = delete;

  void SendBytes(std::string_view bytes);
  void Send(char command, std::string_view data = {});
  // The next packet. Throws when none comes soon.
  Packet Read();
  // Whether something can be read, or the end is there, within this time.
  bool Readable(std::chrono::milliseconds patience);

  // Returns the filter's answer to our offer, command 'O' when it is one.
  Packet Negotiate(uint32_t actions = 0x1ff, uint32_t steps = 0x1fffff, uint32_t version = 6);
  // Steps that the filter wants, after Negotiate().
  uint32_t steps() const { return steps_; }

  void Macro(char command, Macros macros);
  // Each sends its command and gives the reply: "c", "r", "y550 5.7.1 no", "" for the end of the connection,
  // and
  // "-" where the filter asked for the stage to be left out or to get no reply.
  std::string Connect(std::string_view host = "client.example", std::string_view address = "192.0.2.1");
  std::string Helo(std::string_view name = "client.example");
  std::string Mail(std::string_view sender = "<a@example.org>", std::string_view parameter = {});
  std::string Rcpt(std::string_view recipient = "<b@example.org>");
  std::string Data();
  std::string Unknown(std::string_view command);
  std::string Header(std::string_view name, std::string_view value);
  std::string EndOfHeaders();
  std::string Body(std::string_view chunk);
  // All that comes until the verdict, which is the last.
  std::vector<Packet> EndOfMessage();
  // The verdict alone.
  std::string End();
  void Abort() { Send('A'); }
  void Quit() { Send('Q'); }
  // Connect to end of message with one header and a short body. Returns the verdict.
  std::string WholeMessage();
  std::string Message();

  void HangUp();

 private:
  std::string Ask(Stage stage, char command, std::string_view data);

  int socket_;
  uint32_t steps_ = 0;
};

// A number as it travels.
std::string Big32(uint32_t number);

}  // namespace milter::test
