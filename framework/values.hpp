#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"
#include "framework/config_value.hpp"
#include "framework/problem.hpp"
#include "framework/schema.hpp"

#include <optional>
#include <string>
#include <string_view>

/// How a value of a file is read, once for the check and the typed access. Private to framework/.
namespace skywire::framework::detail {

/// White space cut off at both ends, ASCII letters in lower case.
std::string trimmed_lower(std::string_view text);

/// "" or zeros only: how the existing network writes "no key".
bool is_unset_key(std::string_view text) noexcept;

/// Text in duration syntax, or a number of nanoseconds.
Result<Duration> read_duration(const ConfigValue& value);

/// A number without fraction and exponent that fits.
Result<std::int64_t> read_integer(const ConfigValue& value);

/// Case and surrounding white space do not count.
std::optional<log::Level> read_level(std::string_view text);

/// The parts of an absolute URL that this folder looks at.
struct UrlParts {
    /// Lower case.
    std::string scheme;
    /// Without the brackets of a v6 literal.
    std::string host;
    /// Nothing where the URL has none.
    std::optional<std::uint16_t> port;
};

/// Why it is none: "is no URL", "has no host", ...
Result<UrlParts> split_url(std::string_view text);

/// The member that sets a key: the last one of that name, or of it in other letter case, that is
/// not null, as the existing network's decoder takes it; the aliases' where there is none.
const ConfigValue::Member* find_member(
    const ConfigValue& object, const FieldTable& table, const Field& field
);

/// The field that an alias stands for, or the field itself.
const Field& canonical(const FieldTable& table, const Field& field);

/// Where problems of one block go.
class Reporter {
 public:
    Reporter(std::string label, Problems& problems)
        : label_(std::move(label)), problems_(problems) {}

    void error(
        std::string code,
        Position position,
        std::string message,
        std::string suggestion = {},
        Position other = {}
    );
    void warning(
        std::string code,
        Position position,
        std::string message,
        std::string suggestion = {},
        Position other = {}
    );

    const std::string& label() const noexcept { return label_; }

    /// So many problems that nobody reads on; further ones are dropped.
    bool full() const noexcept { return problems_.size() > kProblemsMax; }

    static constexpr std::size_t kProblemsMax = 500;

 private:
    void add(Problem problem);

    std::string label_;
    Problems& problems_;
};

/// The tables a block or nested object is checked against.
struct ObjectRules {
    const FieldTable* table = nullptr;
    /// The framework's own keys, for a whole block.
    const FieldTable* shared = nullptr;
    /// Unknown keys pass.
    bool open = false;
    /// Unknown keys are warned about: what surrounds the blocks.
    bool unknown_warns = false;
    /// "dmsg." for the keys of the nested object `dmsg`; "" for a block.
    std::string path;
};

/// Checks kinds, ranges, unknown, repeated and missing keys of an object and all below it.
void check_object(const ConfigValue& object, const ObjectRules& rules, Reporter& reporter);

}  // namespace skywire::framework::detail
