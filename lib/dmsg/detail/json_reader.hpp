#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// A reader of JSON text that takes what Go's decoder takes, and tells where in the text each thing
/// stands: an entry's signature covers its bytes, so they must be cut and kept, not rebuilt.
namespace skywire::dmsg::detail {

/// A part of the text, by offsets.
struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;

    bool empty() const noexcept { return begin == end; }
};

/// Reads one value after another, as told. The first failure sticks: every later call fails too,
/// and `error` tells it with its offset. The text must outlive the reader.
class JsonReader {
 public:
    static constexpr int kDepthMax = 32;

    explicit JsonReader(std::string_view text) : text_(text) {}

    bool ok() const noexcept { return problem_ == nullptr; }
    Error error() const;

    /// Offset of what comes next; white space before it is passed over.
    std::size_t position();
    /// Offset behind what was read last.
    std::size_t end() const noexcept { return at_; }
    /// White space stood somewhere outside of strings.
    bool spaced() const noexcept { return spaced_; }
    /// Some string held bytes that are not UTF-8; they read as U+FFFD, one each.
    bool repaired() const noexcept { return repaired_; }

    /// Reads `null` where it stands next.
    bool null();
    bool string(std::string& into);
    /// A number without fraction and exponent that fits.
    bool number(std::uint64_t& into);
    bool number(std::int64_t& into);
    /// The nearest one of 64 bits; one beyond them is a failure.
    bool number(double& into);
    bool boolean(bool& into);
    /// Any value; nested at most kDepthMax deep.
    bool skip();

    /// Records a failure at the present place; `problem` is a literal. Always false.
    bool fail(const char* problem);

 private:
    friend class JsonObject;
    friend class JsonArray;

    char peek();
    bool take(char expected, const char* problem);
    bool literal(std::string_view word);
    bool number_text(std::string_view& into);
    bool digits();
    bool escape(std::string& into);
    bool code_unit(std::uint32_t& into);
    bool utf8(std::string& into);
    bool enter();

    std::string_view text_;
    std::size_t at_ = 0;
    int depth_ = 0;
    const char* problem_ = nullptr;
    bool spaced_ = false;
    bool repaired_ = false;
};

/// The members of an object, one after another:
///
///     JsonObject object(reader);
///     while (object.next()) { ...read or skip one value... }
class JsonObject {
 public:
    explicit JsonObject(JsonReader& reader);

    /// Reads up to the next member's value; false at the end and after a failure.
    bool next();

    /// Go's matching of member names: the letter case does not count.
    bool named(std::string_view name) const noexcept;
    /// The name stands in the text exactly so.
    bool named_exactly(std::string_view name) const noexcept;

    /// Where the member begins: at the comma before it, or at its name where it is the first.
    std::size_t begin() const noexcept { return begin_; }
    std::size_t name_begin() const noexcept { return name_begin_; }

 private:
    JsonReader& reader_;
    std::string name_;
    std::size_t begin_ = 0;
    std::size_t name_begin_ = 0;
    std::size_t name_end_ = 0;
    bool first_ = true;
};

/// The elements of an array, in the same way.
class JsonArray {
 public:
    explicit JsonArray(JsonReader& reader);
    bool next();

 private:
    JsonReader& reader_;
    bool first_ = true;
};

}  // namespace skywire::dmsg::detail
