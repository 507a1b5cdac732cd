// See mta.h.
#include "mta.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "check.h"

namespace milter::test {
namespace {

std::string Zeroed(std::string_view text) { return std::string(text) + '\0'; }

int Dial(const std::string& spec) {
  sockaddr_storage address{};
  socklen_t length = 0;
  if (spec.rfind("unix:", 0) == 0) {
    auto& un = reinterpret_cast<sockaddr_un&>(address);
    un.sun_family = AF_UNIX;
    std::strncpy(un.sun_path, spec.c_str() + 5, sizeof un.sun_path - 1);
    length = sizeof un;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(address);
    const size_t at = spec.find('@');
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<uint16_t>(std::stoi(spec.substr(5, at - 5))));
    inet_pton(AF_INET, spec.c_str() + at + 1, &in.sin_addr);
    length = sizeof in;
  }
  const int dialled = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (dialled < 0 || connect(dialled, reinterpret_cast<sockaddr*>(&address), length) != 0) {
    if (dialled >= 0) close(dialled);
    throw Failure("nobody listens at " + spec);
  }
  if (address.ss_family == AF_INET) {
    const int on = 1;
    setsockopt(dialled, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return dialled;
}

}  // namespace

std::string Big32(uint32_t number) {
  const uint32_t big = htonl(number);
  return {reinterpret_cast<const char*>(&big), sizeof big};
}

Mta::Mta(const std::string& address) : socket_(Dial(address)) {}

Mta::~Mta() { HangUp(); }

void Mta::HangUp() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

void Mta::SendBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // The filter hung up: what is read next says so.
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Mta::Send(char command, std::string_view data) {
  SendBytes(Big32(static_cast<uint32_t>(data.size() + 1)) + command + std::string(data));
}

bool Mta::Readable(std::chrono::milliseconds patience) {
  pollfd watch{socket_, POLLIN, 0};
  return poll(&watch, 1, static_cast<int>(patience.count())) > 0;
}

Packet Mta::Read() {
  const auto exactly = [this](char* to, size_t wanted) {
    while (wanted > 0) {
      if (!Readable(kSoon)) throw Failure("the filter did not answer");
      const ssize_t got = recv(socket_, to, wanted, 0);
      if (got <= 0) return false;
      to += got;
      wanted -= static_cast<size_t>(got);
    }
    return true;
  };
  uint32_t length = 0;
  Packet packet;
  if (!exactly(reinterpret_cast<char*>(&length), sizeof length)) return {};
  packet.data.resize(ntohl(length));
  if (packet.data.empty() || !exactly(packet.data.data(), packet.data.size())) return {};
  packet.command = packet.data.front();
  packet.data.erase(0, 1);
  return packet;
}

Packet Mta::Negotiate(uint32_t actions, uint32_t steps, uint32_t version) {
  Send('O', Big32(version) + Big32(actions) + Big32(steps));
  Packet answer = Read();
  if (answer.command == 'O' && answer.data.size() >= 12) {
    uint32_t wanted = 0;
    std::memcpy(&wanted, answer.data.data() + 8, sizeof wanted);
    steps_ = ntohl(wanted);
  }
  return answer;
}

void Mta::Macro(char command, Macros macros) {
  std::string data(1, command);
  for (const auto& [name, value] : macros) data += Zeroed(name) + Zeroed(value);
  Send('D', data);
}

std::string Mta::Ask(Stage stage, char command, std::string_view data) {
  const StageFlags& flags = kStageFlags[Index(stage)];
  if ((steps_ & flags.off) != 0) return "-";
  Send(command, data);
  if ((steps_ & flags.no_reply) != 0) return "-";
  Packet packet = Read();
  if (packet.command == 0) return "";
  while (!packet.data.empty() && packet.data.back() == '\0') packet.data.pop_back();
  return packet.command + packet.data;
}

std::string Mta::Connect(std::string_view host, std::string_view address) {
  return Ask(Stage::kConnect, 'C', Zeroed(host) + "4" + std::string("\x30\x39", 2) + Zeroed(address));
}
std::string Mta::Helo(std::string_view name) { return Ask(Stage::kHelo, 'H', Zeroed(name)); }
std::string Mta::Mail(std::string_view sender, std::string_view parameter) {
  return Ask(Stage::kEnvfrom, 'M', Zeroed(sender) + (parameter.empty() ? "" : Zeroed(parameter)));
}
std::string Mta::Rcpt(std::string_view recipient) { return Ask(Stage::kEnvrcpt, 'R', Zeroed(recipient)); }
std::string Mta::Data() { return Ask(Stage::kData, 'T', {}); }
std::string Mta::Unknown(std::string_view command) { return Ask(Stage::kUnknown, 'U', Zeroed(command)); }
std::string Mta::Header(std::string_view name, std::string_view value) {
  return Ask(Stage::kHeader, 'L', Zeroed(name) + Zeroed(value));
}
std::string Mta::EndOfHeaders() { return Ask(Stage::kEoh, 'N', {}); }
std::string Mta::Body(std::string_view chunk) { return Ask(Stage::kBody, 'B', chunk); }

std::vector<Packet> Mta::EndOfMessage() {
  Send('E');
  std::vector<Packet> packets;
  for (;;) {
    packets.push_back(Read());
    const char command = packets.back().command;
    if (command == 0 || std::strchr("acrtdy", command) != nullptr) return packets;
  }
}

std::string Mta::End() {
  const Packet last = EndOfMessage().back();
  if (last.command == 0) return "";
  return last.command + std::string(last.data.c_str());
}

std::string Mta::Message() {
  Mail();
  Rcpt();
  Data();
  Header("Subject", " hello");
  EndOfHeaders();
  Body("line\r\n");
  return End();
}

std::string Mta::WholeMessage() {
  Negotiate();
  Connect();
  Helo();
  return Message();
}

}  // namespace milter::test
