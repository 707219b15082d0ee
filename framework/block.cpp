#include "framework/block.hpp"

#include "base/assert.hpp"
#include "framework/values.hpp"

#include <charconv>

namespace skywire::framework {

namespace {

using Kind = ConfigValue::Kind;

/// What an unset nested object is read from.
const ConfigValue& empty_object() {
    static const ConfigValue value = [] {
        ConfigValue object;
        object.kind = Kind::object;
        return object;
    }();
    return value;
}

bool is_text(FieldKind kind) noexcept {
    switch (kind) {
        case FieldKind::string:
        case FieldKind::address:
        case FieldKind::ip:
        case FieldKind::cidr:
        case FieldKind::url:
        case FieldKind::redis_url:
        case FieldKind::log_level:
        case FieldKind::path:
        case FieldKind::choice:
            return true;
        case FieldKind::boolean:
        case FieldKind::integer:
        case FieldKind::number:
        case FieldKind::duration:
        case FieldKind::public_key:
        case FieldKind::secret_key:
        case FieldKind::list:
        case FieldKind::object:
        case FieldKind::one_or_list:
        case FieldKind::text_or_object:
        case FieldKind::any:
            return false;
    }
    return false;
}

bool is_list(const Field& field) noexcept {
    return field.kind == FieldKind::list || field.kind == FieldKind::one_or_list;
}

/// The elements of a list, or the one value that stands for it.
std::vector<const ConfigValue*> elements_of(const ConfigValue* value) {
    std::vector<const ConfigValue*> elements;
    if (value == nullptr) return elements;
    if (value->kind != Kind::array) return {value};
    for (const ConfigValue& element : value->elements)
        elements.push_back(&element);
    return elements;
}

bool is_zero(const Field& field, const ConfigValue& value) {
    switch (value.kind) {
        case Kind::null:
            return true;
        case Kind::boolean:
            return !value.boolean;
        case Kind::array:
            return value.elements.empty();
        case Kind::object:
            return value.members.empty();
        case Kind::number:
            return value.text.find_first_of("123456789") == std::string::npos;
        case Kind::string:
            break;
    }
    if (value.text.empty()) return true;
    if (field.kind == FieldKind::public_key || field.kind == FieldKind::secret_key) {
        return detail::is_unset_key(value.text);
    }
    if (field.kind != FieldKind::duration) return false;
    const auto duration = detail::read_duration(value);
    return duration && *duration == Duration(0);
}

}  // namespace

Block::Block(
    std::string label, const ConfigValue& value, const FieldTable& table, const FieldTable* shared
)
    : label_(std::move(label)),
      value_(&value),
      table_(&table),
      shared_(shared),
      origin_(value.position) {}

bool Block::knows(std::string_view key) const noexcept {
    return find_field(*table_, key) != nullptr ||
           (shared_ != nullptr && find_field(*shared_, key) != nullptr);
}

const Field& Block::field(std::string_view key) const {
    const Field* field = find_field(*table_, key);
    if (field == nullptr && shared_ != nullptr) field = find_field(*shared_, key);
    SKY_ASSERT(field != nullptr);
    return detail::canonical(*table_, *field);
}

const ConfigValue* Block::find(std::string_view key) const {
    const Field& wanted = field(key);
    const auto* member = detail::find_member(*value_, *table_, wanted);
    return member == nullptr ? nullptr : &member->value;
}

ConfigValue Block::effective(std::string_view key) const {
    const Field& wanted = field(key);
    const ConfigValue* value = find(key);
    const bool blank = value != nullptr && value->kind == Kind::string && value->text.empty();
    // An empty choice, level or duration says nothing; other empty text may mean "off".
    const bool says_nothing =
        blank && (wanted.kind == FieldKind::choice || wanted.kind == FieldKind::log_level ||
                  wanted.kind == FieldKind::duration);
    if (value != nullptr && !says_nothing) return *value;
    if (wanted.default_json.empty()) return {};
    auto parsed = parse_config(wanted.default_json);
    SKY_ASSERT(std::holds_alternative<ConfigValue>(parsed));
    return std::get<ConfigValue>(std::move(parsed));
}

bool Block::has(std::string_view key) const {
    const ConfigValue* value = find(key);
    if (file_key_ && (key == "secret_key" || key == "public_key")) return true;
    return value != nullptr && !is_zero(field(key), *value);
}

bool Block::boolean(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::boolean);
    return effective(key).boolean;
}

std::int64_t Block::integer(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::integer);
    const ConfigValue value = effective(key);
    if (value.kind == Kind::null) return 0;
    const auto number = detail::read_integer(value);
    SKY_ASSERT(number.has_value());
    return *number;
}

double Block::number(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::number);
    const ConfigValue value = effective(key);
    double number = 0;
    std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    return number;
}

std::string Block::text(std::string_view key) const {
    const Field& wanted = field(key);
    SKY_ASSERT(is_text(wanted.kind));
    std::string text = effective(key).text;
    if (wanted.kind == FieldKind::choice) return detail::trimmed_lower(text);
    if (wanted.kind != FieldKind::log_level || text.empty()) return text;
    text = detail::trimmed_lower(text);
    return log::parse_level(text) ? text : "info";
}

Duration Block::duration(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::duration);
    const ConfigValue value = effective(key);
    if (value.kind == Kind::null) return Duration(0);
    const auto duration = detail::read_duration(value);
    SKY_ASSERT(duration.has_value());
    return *duration;
}

crypto::PublicKey Block::public_key(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::public_key);
    const auto parsed = crypto::PublicKey::from_text(effective(key).text);
    SKY_ASSERT(parsed.has_value());
    if (parsed->is_null() && file_key_ && key == "public_key") {
        return crypto::public_key_of(*file_key_);
    }
    return *parsed;
}

std::optional<crypto::SecretKey> Block::secret_key(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::secret_key);
    const ConfigValue* value = find(key);
    if (value == nullptr || detail::is_unset_key(value->text)) {
        return key == "secret_key" ? file_key_ : std::nullopt;
    }
    const auto parsed = crypto::SecretKey::from_text(value->text);
    SKY_ASSERT(parsed.has_value());
    return *parsed;
}

std::optional<net::Address> Block::address(std::string_view key) const {
    SKY_ASSERT(field(key).kind == FieldKind::address);
    const std::string text = effective(key).text;
    if (text.empty()) return std::nullopt;
    auto parsed = net::Address::parse(text);
    SKY_ASSERT(parsed.has_value());
    return *std::move(parsed);
}

std::vector<std::string> Block::texts(std::string_view key) const {
    const Field& wanted = field(key);
    SKY_ASSERT(is_list(wanted) && is_text(wanted.element));
    const ConfigValue list = effective(key);
    std::vector<std::string> texts;
    if (list.kind == Kind::null) return texts;
    for (const ConfigValue* element : elements_of(&list)) {
        texts.push_back(
            wanted.element == FieldKind::choice ? detail::trimmed_lower(element->text)
                                                : element->text
        );
    }
    return texts;
}

std::vector<crypto::PublicKey> Block::public_keys(std::string_view key) const {
    const Field& wanted = field(key);
    SKY_ASSERT(is_list(wanted) && wanted.element == FieldKind::public_key);
    std::vector<crypto::PublicKey> keys;
    for (const ConfigValue* element : elements_of(find(key))) {
        const auto parsed = crypto::PublicKey::from_text(element->text);
        SKY_ASSERT(parsed.has_value());
        if (!parsed->is_null()) keys.push_back(*parsed);
    }
    return keys;
}

Block Block::object(std::string_view key) const {
    const Field& wanted = field(key);
    SKY_ASSERT(wanted.kind == FieldKind::object);
    const ConfigValue* value = find(key);
    Block block(label_, value == nullptr ? empty_object() : *value, wanted.members);
    if (value == nullptr) block.origin_ = origin_;
    return block;
}

std::vector<Block> Block::objects(std::string_view key) const {
    const Field& wanted = field(key);
    SKY_ASSERT(is_list(wanted) && wanted.element == FieldKind::object);
    std::vector<Block> blocks;
    for (const ConfigValue* element : elements_of(find(key))) {
        blocks.emplace_back(label_, *element, wanted.members);
    }
    return blocks;
}

Position Block::position(std::string_view key) const {
    const ConfigValue* value = find(key);
    return value == nullptr ? origin_ : value->position;
}

Problem Block::problem(std::string_view key, std::string message) const {
    return {
        Problem::Severity::error, "bad-value", position(key), label_, std::move(message), "", {}
    };
}

Problem Block::warning(std::string_view key, std::string message) const {
    return {
        Problem::Severity::warning, "bad-value", position(key), label_, std::move(message), "", {}
    };
}

}  // namespace skywire::framework
