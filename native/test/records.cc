// See records.h.
#include "records.h"

#include <array>
#include <cstring>

#include "check.h"

namespace milter::test {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  std::string_view Raw(size_t length) {
    if (bytes_.size() < length) throw Failure("a record ends early");
    const std::string_view taken = bytes_.substr(0, length);
    bytes_.remove_prefix(length);
    return taken;
  }
  template <typename T>
  T Number() {
    T value{};
    std::memcpy(&value, Raw(sizeof value).data(), sizeof value);
    return value;
  }
  std::string Text() { return std::string(Raw(Number<uint32_t>())); }

 private:
  std::string_view bytes_;
};

void ReadBody(Reader& reader, Record& record, std::string_view large_body) {
  record.numbers.push_back(reader.Number<uint8_t>());
  const bool apart = reader.Number<uint8_t>() != 0;
  const auto chunks = reader.Number<uint32_t>();
  for (uint32_t i = 0; i < chunks; i++) record.numbers.push_back(reader.Number<uint32_t>());
  if (!apart) {
    record.texts.push_back(reader.Text());
    return;
  }
  CHECK_EQ(reader.Number<uint32_t>(), large_body.size());
  record.texts.emplace_back(large_body);
}

}  // namespace

std::vector<Record> ReadRecords(std::string_view packed, std::string_view large_body) {
  std::vector<Record> records;
  Reader reader(packed);
  while (!reader.done()) {
    Record record;
    record.stage = static_cast<Stage>(reader.Number<uint8_t>());
    if (const auto macros = reader.Number<uint8_t>(); macros > 0) {
      Reader values(reader.Raw(reader.Number<uint32_t>()));
      for (uint8_t i = 0; i < macros; i++) {
        const auto index = values.Number<uint8_t>();
        const auto length = values.Number<uint32_t>();
        if (length == 0xffffffff) {
          record.gone.insert(index);
        } else {
          record.macros[index] = values.Raw(length);
        }
      }
      if (!values.done()) throw Failure("the macros are longer than they say");
    }
    switch (record.stage) {
      case Stage::kNegotiate:
        record.numbers = {reader.Number<uint32_t>()};
        record.numbers.push_back(reader.Number<uint32_t>());
        break;
      case Stage::kConnect:
        record.texts.push_back(reader.Text());
        record.numbers = {reader.Number<uint8_t>()};
        record.numbers.push_back(reader.Number<uint16_t>());
        record.texts.push_back(reader.Text());
        break;
      case Stage::kHelo:
      case Stage::kUnknown:
        record.texts.push_back(reader.Text());
        break;
      case Stage::kEnvfrom:
      case Stage::kEnvrcpt:
        for (auto left = reader.Number<uint32_t>(); left > 0; left--) record.texts.push_back(reader.Text());
        break;
      case Stage::kHeader: {
        const auto count = reader.Number<uint32_t>();
        const std::string packed_headers = reader.Text();
        Reader headers(packed_headers);
        for (uint32_t i = 0; i < 2 * count; i++) record.texts.push_back(headers.Text());
        if (!headers.done()) throw Failure("there are more headers than counted");
        break;
      }
      case Stage::kBody:
        ReadBody(reader, record, large_body);
        break;
      case Stage::kData:
      case Stage::kEoh:
      case Stage::kEom:
      case Stage::kAbort:
      case Stage::kClose:
        break;
      default:
        throw Failure("a record of no known stage");
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::string StagesIn(std::string_view packed) {
  std::string stages;
  for (const Record& record : ReadRecords(packed)) {
    stages += (stages.empty() ? "" : " ") + std::string(NameOf(record.stage));
  }
  return stages;
}

const char* NameOf(Stage stage) {
  constexpr std::array<const char*, kStages> kNames = {"negotiate", "connect", "helo",   "envfrom", "envrcpt",
                                                       "data",      "unknown", "header", "eoh",     "body",
                                                       "eom",       "abort",   "close"};
  return Index(stage) < kStages ? kNames[Index(stage)] : "?";
}

}  // namespace milter::test
