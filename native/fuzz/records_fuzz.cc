// Sessions of any course and any text, recorded and read again. Held:
//
// - what is read is what was recorded, stage by stage, byte for byte, whenever it is taken;
// - what JavaScript knows of the macros at a stage, from all news so far, is what libmilter would say there;
// - a body is whole or none of it is there, and is no longer than the plan allows.
//
// Threads: libFuzzer's one.
#include <arpa/inet.h>
#include <fuzzer/FuzzedDataProvider.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../core/macros.h"
#include "../core/recorder.h"
#include "../test/check.h"
#include "../test/records.h"

// For test/records.cc, whose faults end the run.
void milter::test::Fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  std::abort();
}

namespace {

using milter::Index;
using milter::Stage;
using milter::test::Record;

constexpr uint8_t kMacros = 4;

// The values that macros have, by index; nothing: undefined.
using Values = std::map<uint8_t, std::string>;

// What libmilter holds, which the fake smfi_getsymval() below looks into.
struct Lists {
  Values of_session;
  Values of_message;
  const std::string* Find(uint8_t index) const {
    for (const Values* values : {&of_message, &of_session}) {
      if (const auto found = values->find(index); found != values->end()) return &found->second;
    }
    return nullptr;
  }
};
Lists lists;

char* GetSymval(SMFICTX*, char* name) {
  const std::string* value = lists.Find(static_cast<uint8_t>(name[0] - 'a'));
  return value == nullptr ? nullptr : const_cast<char*>(value->c_str());
}

// A record that must come, and the macros that must be known with it.
struct Expected {
  Record record;
  std::map<uint8_t, std::optional<std::string>> macros;
};

class Session {
 public:
  explicit Session(FuzzedDataProvider& input) : input_(input), macros_(Library(), nullptr) {
    lists = Lists{};
    plan_.body_chunks = input_.ConsumeBool();
    plan_.max_body = input_.PickValueInArray<uint64_t>({0, 1, 100, 65'536, 65'537, 200'000});
    for (uint8_t i = 0; i < kMacros; i++) plan_.macros.emplace_back(1, static_cast<char>('a' + i));
    for (const Stage stage : {Stage::kConnect, Stage::kHelo, Stage::kEnvfrom, Stage::kEnvrcpt, Stage::kData,
                              Stage::kEoh, Stage::kEom}) {
      const auto wanted = input_.ConsumeIntegral<uint8_t>();
      for (uint8_t i = 0; i < kMacros; i++) {
        if ((wanted >> i & 1) != 0) plan_.stage_macros[Index(stage)].push_back(i);
      }
    }
    recorder_.SetPlan(plan_);
  }

  void Run() {
    Negotiate();
    if (input_.ConsumeBool()) Connect();
    while (input_.remaining_bytes() > 0) {
      switch (input_.ConsumeIntegralInRange(0, 3)) {
        case 0:
          Text(Stage::kHelo);
          break;
        case 1:
          Text(Stage::kUnknown);
          break;
        default:
          Message();
      }
      MaybeTake();
    }
    Take();
  }

 private:
  static const milter::Library& Library() {
    static const milter::Library library = [] {
      milter::Library made{};
      made.getsymval = GetSymval;
      return made;
    }();
    return library;
  }

  void Negotiate() {
    const auto actions = input_.ConsumeIntegral<uint32_t>();
    const auto steps = input_.ConsumeIntegral<uint32_t>();
    recorder_.Negotiation(actions, steps);
    Expect(connection_, Stage::kNegotiate).record.numbers = {actions, steps};
  }

  void Connect() {
    const std::string hostname = AnyText();
    const auto port = input_.ConsumeIntegral<uint16_t>();
    // Each in room of its own, so that AddressSanitizer sees what is read behind it.
    std::unique_ptr<sockaddr_in> in;
    std::unique_ptr<sockaddr_in6> in6;
    std::unique_ptr<sockaddr_un> un;
    const sockaddr* address = nullptr;
    std::string text;
    uint8_t family = 'U';
    switch (input_.ConsumeIntegralInRange(0, 3)) {
      case 0: {
        in = std::make_unique<sockaddr_in>();
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr.s_addr = htonl(input_.ConsumeIntegral<uint32_t>());
        const auto* bytes = reinterpret_cast<const uint8_t*>(&in->sin_addr);
        for (int i = 0; i < 4; i++) text += (i == 0 ? "" : ".") + std::to_string(bytes[i]);
        address = reinterpret_cast<const sockaddr*>(in.get());
        family = '4';
        break;
      }
      case 1: {
        in6 = std::make_unique<sockaddr_in6>();
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        for (uint8_t& byte : in6->sin6_addr.s6_addr) byte = input_.ConsumeIntegral<uint8_t>();
        char buffer[INET6_ADDRSTRLEN];
        text = inet_ntop(AF_INET6, &in6->sin6_addr, buffer, sizeof buffer);
        address = reinterpret_cast<const sockaddr*>(in6.get());
        family = '6';
        break;
      }
      case 2: {
        un = std::make_unique<sockaddr_un>();
        un->sun_family = AF_UNIX;
        // It may fill its room, and has no NUL then.
        text = AnyText().substr(0, sizeof un->sun_path);
        if (input_.ConsumeBool()) text.assign(sizeof un->sun_path, 'p');
        text.copy(un->sun_path, text.size());
        address = reinterpret_cast<const sockaddr*>(un.get());
        family = 'L';
        break;
      }
      default:
        break;
    }
    const auto news = Collect(Stage::kConnect);
    recorder_.Connect(hostname, address, news);
    Expected& expected = Expect(connection_, Stage::kConnect);
    const bool has_port = family == '4' || family == '6';
    expected.record.texts = {hostname, text};
    expected.record.numbers = {family, has_port ? port : 0u};
  }

  void Text(Stage stage) {
    const std::string text = AnyText();
    const auto news = stage == Stage::kHelo ? Collect(stage) : std::string_view();
    recorder_.Text(stage, text, news);
    Expect(stage == Stage::kHelo ? connection_ : message_, stage).record.texts = {text};
  }

  void Envelope(Stage stage) {
    std::vector<std::string> texts = Texts();
    std::vector<char*> arguments;
    for (std::string& text : texts) arguments.push_back(text.data());
    arguments.push_back(nullptr);
    recorder_.Envelope(stage, arguments.data(), Collect(stage));
    Expect(message_, stage).record.texts = std::move(texts);
  }

  void Plain(Stage stage) {
    const auto news = Collect(stage);
    EndRun();
    if (stage == Stage::kEom) {
      recorder_.Eom(news);
      whole_ = true;
    } else {
      recorder_.Plain(stage, news);
    }
    Expect(message_, stage);
  }

  // In libmilter's order, and ending anywhere.
  void Message() {
    Envelope(Stage::kEnvfrom);
    MaybeTake();
    for (auto left = input_.ConsumeIntegralInRange(0, 3); left > 0; left--) Envelope(Stage::kEnvrcpt);
    if (input_.ConsumeBool()) Plain(Stage::kData);
    MaybeTake();
    for (auto left = input_.ConsumeIntegralInRange(0, 4); left > 0; left--) {
      const std::string name = AnyText();
      const std::string value = AnyText();
      recorder_.Header(name, value);
      headers_.push_back(name);
      headers_.push_back(value);
      MaybeTake();
    }
    if (input_.ConsumeBool()) return Drop();
    Plain(Stage::kEoh);
    MaybeTake();
    for (auto left = input_.ConsumeIntegralInRange(0, 3); left > 0; left--) {
      Body();
      MaybeTake();
    }
    if (input_.ConsumeBool()) return Drop();
    Plain(Stage::kEom);
    if (input_.ConsumeBool()) return Drop();
    Take();
  }

  void Body() {
    const std::string chunk =
        input_.ConsumeBool() ? AnyText() : std::string(input_.ConsumeIntegralInRange<size_t>(0, 70'000), 'x');
    recorder_.Body(chunk);
    body_seen_ = true;
    EndHeaders();
    if (!whole_) return;
    if (body_.size() + chunk.size() > plan_.max_body) {
      whole_ = false;
      body_.clear();
      chunks_.clear();
    } else {
      body_ += chunk;
      chunks_.push_back(static_cast<uint32_t>(chunk.size()));
    }
  }

  void EndHeaders() {
    if (headers_.empty()) return;
    Expect(message_, Stage::kHeader).record.texts = std::move(headers_);
    headers_.clear();
  }

  // What was gathered of headers and body is a record now.
  void EndRun() {
    EndHeaders();
    if (!body_seen_) return;
    Expected& expected = Expect(message_, Stage::kBody);
    expected.record.texts = {body_};
    expected.record.numbers = {whole_ ? 1u : 0u};
    if (plan_.body_chunks) {
      expected.record.numbers.insert(expected.record.numbers.end(), chunks_.begin(), chunks_.end());
    }
    body_.clear();
    chunks_.clear();
    body_seen_ = false;
  }

  void Drop() {
    recorder_.DropMessage();
    message_.clear();
    headers_.clear();
    body_.clear();
    chunks_.clear();
    body_seen_ = false;
    whole_ = true;
    // What JavaScript was not told of a message it cannot know; with the next it begins anew.
    known_.of_message.clear();
    lists.of_message.clear();
  }

  void MaybeTake() {
    if (input_.ConsumeBool()) Take();
  }

  void Take() {
    EndRun();
    std::string packed;
    std::string body;
    recorder_.Take(packed, body);
    std::vector<Expected> expected = std::move(connection_);
    expected.insert(expected.end(), message_.begin(), message_.end());
    connection_.clear();
    message_.clear();
    const std::vector<Record> found = milter::test::ReadRecords(packed, body);
    CHECK_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); i++) Compare(found[i], expected[i]);
  }

  void Compare(const Record& found, const Expected& expected) {
    CHECK(found.stage == expected.record.stage);
    CHECK(found.texts == expected.record.texts);
    CHECK(found.numbers == expected.record.numbers);
    const bool of_session = found.stage <= Stage::kHelo;
    if (of_session || found.stage == Stage::kEnvfrom) known_.of_message.clear();
    Values& values = of_session ? known_.of_session : known_.of_message;
    for (const auto& [index, value] : found.macros) values[index] = value;
    for (const uint8_t index : found.gone) values.erase(index);
    for (const auto& [index, value] : expected.macros) {
      const std::string* known = known_.Find(index);
      CHECK((known != nullptr) == value.has_value());
      CHECK(known == nullptr || *known == *value);
    }
  }

  // The MTA sends macros with a stage, or has none there any more.
  std::string_view Collect(Stage stage) {
    const bool of_session = stage <= Stage::kHelo;
    if (of_session || stage == Stage::kEnvfrom) lists.of_message.clear();
    Values& values = of_session ? lists.of_session : lists.of_message;
    for (const uint8_t index : plan_.stage_macros[Index(stage)]) {
      switch (input_.ConsumeIntegralInRange(0, 3)) {
        case 0:
          values[index] = AnyText();
          break;
        case 1:
          values.erase(index);
          break;
        default:
          break;
      }
    }
    return macros_.Collect(plan_, stage);
  }

  Expected& Expect(std::vector<Expected>& where, Stage stage) {
    Expected expected;
    expected.record.stage = stage;
    for (const uint8_t index : plan_.stage_macros[Index(stage)]) {
      const std::string* value = lists.Find(index);
      expected.macros[index] = value != nullptr ? std::optional<std::string>(*value) : std::nullopt;
    }
    where.push_back(std::move(expected));
    return where.back();
  }

  // As libmilter hands it over: without NUL.
  std::string AnyText() {
    std::string text = input_.ConsumeRandomLengthString(40);
    return text.substr(0, text.find('\0'));
  }

  std::vector<std::string> Texts() {
    std::vector<std::string> texts;
    for (auto left = input_.ConsumeIntegralInRange(0, 3); left > 0; left--) texts.push_back(AnyText());
    return texts;
  }

  FuzzedDataProvider& input_;
  milter::Plan plan_;
  milter::Recorder recorder_;
  milter::Macros macros_;
  std::vector<Expected> connection_;
  std::vector<Expected> message_;
  std::vector<std::string> headers_;
  std::string body_;
  std::vector<uint32_t> chunks_;
  bool body_seen_ = false;
  bool whole_ = true;
  Lists known_;  // By JavaScript.
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  Session(input).Run();
  return 0;
}
