// Writing and reading the packed bytes that cross the border: little-endian numbers, strings with a length
// before and a NUL behind them (so that libmilter can be given a pointer into the packet).
// lib/engine/libmilter/addon.ts documents the layout. A value type: whoever owns the object owns the bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace milter {

class ByteWriter {
 public:
  void U8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void U16(uint16_t value) { Number(value); }
  void U32(uint32_t value) { Number(value); }
  void Raw(std::string_view bytes) { bytes_.append(bytes); }
  void Text(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    Raw(text);
  }
  // Overwrites the number at `offset`, for counts that are known only later.
  void PatchU32(size_t offset, uint32_t value) { std::memcpy(&bytes_[offset], &value, sizeof value); }
  void PatchU8(size_t offset, uint8_t value) { bytes_[offset] = static_cast<char>(value); }

  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  void clear() { bytes_.clear(); }
  std::string_view view() const { return bytes_; }
  std::string Take() {
    std::string taken = std::move(bytes_);
    bytes_.clear();
    return taken;
  }

 private:
  template <typename T>
  void Number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  std::string bytes_;
};

// Reads what lib/ packed. A packet that ends early gives zeros and empty strings and turns ok() false:
// the callers refuse such a packet as a whole.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  uint8_t U8() { return Number<uint8_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  // A string whose data() is NUL-terminated.
  std::string_view Text() {
    const size_t length = U32();
    if (!ok_ || bytes_.size() - at_ <= length || bytes_[at_ + length] != '\0') {
      ok_ = false;
      return std::string_view("", 0);
    }
    const std::string_view text = bytes_.substr(at_, length);
    at_ += length + 1;
    return text;
  }
  bool ok() const { return ok_; }

 private:
  template <typename T>
  T Number() {
    T value{};
    if (!ok_ || bytes_.size() - at_ < sizeof value) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string_view bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the packed format is little-endian");

}  // namespace milter
