// Packing the stages; lib/engine/libmilter/records.ts reads what is written here. See recorder.h.
#include "recorder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace milter {
namespace {

// A body up to this size rides in the records; a larger one is handed over without a copy.
constexpr size_t kSmallBody = 64 * 1024;

// Empties a body, keeping only a little room for the next one.
void Discard(std::string& body) {
  body.clear();
  if (body.capacity() > kSmallBody) body.shrink_to_fit();
}

struct Address {
  char family = 'U';  // As in the wire protocol: 4, 6, L, U.
  uint16_t port = 0;
  std::string text;
};

Address Describe(const sockaddr* address) {
  Address described;
  if (address == nullptr) return described;
  char text[INET6_ADDRSTRLEN] = "";
  switch (address->sa_family) {
    case AF_INET: {
      const auto* in = reinterpret_cast<const sockaddr_in*>(address);
      described.family = '4';
      described.port = ntohs(in->sin_port);
      inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
      described.text = text;
      break;
    }
    case AF_INET6: {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
      described.family = '6';
      described.port = ntohs(in6->sin6_port);
      inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
      described.text = text;
      break;
    }
    case AF_UNIX: {
      const auto* un = reinterpret_cast<const sockaddr_un*>(address);
      described.family = 'L';
      described.text.assign(un->sun_path, strnlen(un->sun_path, sizeof un->sun_path));
      break;
    }
    default:
      break;
  }
  return described;
}

}  // namespace

void Recorder::Begin(ByteWriter& to, Stage stage, std::string_view macros) {
  to.U8(static_cast<uint8_t>(stage));
  if (macros.empty()) {
    to.U8(0);
  } else {
    to.Raw(macros);
  }
}

void Recorder::Negotiation(unsigned long actions, unsigned long steps) {
  Begin(connection_, Stage::kNegotiate, {});
  connection_.U32(static_cast<uint32_t>(actions));
  connection_.U32(static_cast<uint32_t>(steps));
}

void Recorder::Connect(std::string_view hostname, const sockaddr* address, std::string_view macros) {
  const Address client = Describe(address);
  Begin(connection_, Stage::kConnect, macros);
  connection_.Text(hostname);
  connection_.U8(static_cast<uint8_t>(client.family));
  connection_.U16(client.port);
  connection_.Text(client.text);
}

void Recorder::Text(Stage stage, std::string_view text, std::string_view macros) {
  ByteWriter& to = For(stage);
  Begin(to, stage, macros);
  to.Text(text);
}

void Recorder::Envelope(Stage stage, char** arguments, std::string_view macros) {
  Begin(message_, stage, macros);
  const size_t count_at = message_.size();
  message_.U32(0);
  uint32_t count = 0;
  for (; arguments[count] != nullptr; count++) message_.Text(arguments[count]);
  message_.PatchU32(count_at, count);
}

void Recorder::Plain(Stage stage, std::string_view macros) {
  FlushHeaders();
  FlushBody();
  Begin(message_, stage, macros);
}

void Recorder::Header(std::string_view name, std::string_view value) {
  headers_.Text(name);
  headers_.Text(value);
  header_count_++;
}

void Recorder::FlushHeaders() {
  if (header_count_ == 0) return;
  Begin(message_, Stage::kHeader, {});
  message_.U32(header_count_);
  message_.Text(headers_.view());
  headers_.clear();
  header_count_ = 0;
}

void Recorder::Body(std::string_view chunk) {
  FlushHeaders();
  body_seen_ = true;
  if (!body_complete_) return;
  if (body_.size() + large_body_.size() + chunk.size() > plan_->max_body) {
    // A truncated body must never replace a mail, so there is no use in keeping the first part.
    body_complete_ = false;
    Discard(body_);
    chunks_.clear();
    return;
  }
  body_.append(chunk);
  if (plan_->body_chunks) chunks_.push_back(static_cast<uint32_t>(chunk.size()));
}

void Recorder::FlushBody() {
  if (!body_seen_) return;
  const bool apart = body_.size() > kSmallBody;
  Begin(message_, Stage::kBody, {});
  message_.U8(body_complete_ ? 1 : 0);
  message_.U8(apart ? 1 : 0);
  message_.U32(static_cast<uint32_t>(chunks_.size()));
  for (const uint32_t length : chunks_) message_.U32(length);
  if (apart) {
    message_.U32(static_cast<uint32_t>(body_.size()));
    large_body_ = std::move(body_);
  } else {
    message_.Text(body_);
  }
  body_.clear();
  chunks_.clear();
  body_seen_ = false;
}

void Recorder::Eom(std::string_view macros) {
  Plain(Stage::kEom, macros);
  body_complete_ = true;
}

void Recorder::DropMessage() {
  message_.clear();
  headers_.clear();
  header_count_ = 0;
  Discard(body_);
  Discard(large_body_);
  chunks_.clear();
  body_seen_ = false;
  body_complete_ = true;
}

void Recorder::Take(std::string& records, std::string& body) {
  FlushHeaders();
  FlushBody();
  if (connection_.empty()) {
    records = message_.Take();
  } else {
    records = connection_.Take();
    records.append(message_.view());
    message_.clear();
  }
  body.swap(large_body_);
}

}  // namespace milter
