#include "framework/config_value.hpp"

#include "framework/config_syntax.hpp"

#include <boost/json/basic_parser_impl.hpp>

namespace skywire::framework {

namespace {

using detail::Place;

constexpr std::size_t kTextMax = 16U << 20U;
constexpr std::size_t kDepthMax = 64;
/// A value takes some 150 bytes here and two in the file: a bound on the tree of a hostile file.
constexpr std::size_t kValuesMax = 1U << 18U;

/// Builds the tree from the parser's events. The events carry no offsets: a cursor walks the text
/// beside them, over what the parser has found to be well-formed already.
class Builder {
 public:
    static constexpr std::size_t max_object_size = std::size_t(-1);
    static constexpr std::size_t max_array_size = std::size_t(-1);
    static constexpr std::size_t max_key_size = std::size_t(-1);
    static constexpr std::size_t max_string_size = std::size_t(-1);

    Builder(std::string_view text, const detail::LineIndex& lines) : text_(text), lines_(lines) {}

    std::size_t cursor() const noexcept { return cursor_; }
    std::size_t depth() const noexcept { return open_.size(); }
    Position opened() const noexcept { return open_.empty() ? Position{} : open_.back()->position; }
    bool too_many() const noexcept { return values_ > kValuesMax; }
    ConfigValue take() { return std::move(root_); }

    Place place() const noexcept {
        if (after_key_) return Place::key_done;
        if (open_.empty()) return values_ == 0 ? Place::document_start : Place::document_done;
        const ConfigValue& inner = *open_.back();
        if (inner.kind == ConfigValue::Kind::object) {
            return inner.members.empty() ? Place::object_start : Place::object_value_done;
        }
        return inner.elements.empty() ? Place::array_start : Place::array_value_done;
    }

    bool on_document_begin(ErrorCode&) { return true; }
    bool on_document_end(ErrorCode&) { return true; }
    bool on_object_begin(ErrorCode& ec) { return open(ConfigValue::Kind::object, ec); }
    bool on_object_end(std::size_t, ErrorCode&) { return close('}'); }
    bool on_array_begin(ErrorCode& ec) { return open(ConfigValue::Kind::array, ec); }
    bool on_array_end(std::size_t, ErrorCode&) { return close(']'); }

    bool on_key_part(std::string_view piece, std::size_t, ErrorCode&) { return part(piece); }
    bool on_key(std::string_view piece, std::size_t, ErrorCode&) {
        skip_to_token();
        ConfigValue::Member& member = open_.back()->members.emplace_back();
        member.position = lines_.at(cursor_);
        member.key = buffer_.append(piece);
        buffer_.clear();
        skip_string();
        after_key_ = true;
        return true;
    }

    bool on_string_part(std::string_view piece, std::size_t, ErrorCode&) { return part(piece); }
    bool on_string(std::string_view piece, std::size_t, ErrorCode& ec) {
        ConfigValue* value = add(ConfigValue::Kind::string, ec);
        if (value == nullptr) return false;
        value->text = buffer_.append(piece);
        buffer_.clear();
        skip_string();
        value->end = cursor_;
        return true;
    }

    bool on_number_part(std::string_view, ErrorCode&) { return true; }
    bool on_int64(std::int64_t, std::string_view, ErrorCode& ec) { return number(ec); }
    bool on_uint64(std::uint64_t, std::string_view, ErrorCode& ec) { return number(ec); }
    bool on_double(double, std::string_view, ErrorCode& ec) { return number(ec); }

    bool on_bool(bool truth, ErrorCode& ec) {
        ConfigValue* value = add(ConfigValue::Kind::boolean, ec);
        if (value == nullptr) return false;
        value->boolean = truth;
        value->end = cursor_ += truth ? 4 : 5;
        return true;
    }
    bool on_null(ErrorCode& ec) {
        ConfigValue* value = add(ConfigValue::Kind::null, ec);
        if (value == nullptr) return false;
        value->end = cursor_ += 4;
        return true;
    }

    bool on_comment_part(std::string_view, ErrorCode&) { return true; }
    bool on_comment(std::string_view, ErrorCode&) { return true; }

 private:
    bool part(std::string_view piece) {
        buffer_.append(piece);
        return true;
    }

    void skip_to_token() noexcept {
        while (std::string_view(" \t\r\n,:").find(text_[cursor_]) != std::string_view::npos)
            ++cursor_;
    }

    void skip_string() noexcept {
        ++cursor_;
        while (text_[cursor_] != '"')
            cursor_ += text_[cursor_] == '\\' ? 2 : 1;
        ++cursor_;
    }

    char here() const noexcept { return cursor_ < text_.size() ? text_[cursor_] : '\0'; }

    void skip_digits() noexcept {
        while (here() >= '0' && here() <= '9')
            ++cursor_;
    }

    /// By the grammar: what stands behind a number without a gap ("127.0.0.1") is not part of it.
    void skip_number() noexcept {
        if (here() == '-') ++cursor_;
        if (here() == '0') {
            ++cursor_;
        } else {
            skip_digits();
        }
        if (here() == '.') {
            ++cursor_;
            skip_digits();
        }
        if (here() != 'e' && here() != 'E') return;
        ++cursor_;
        if (here() == '+' || here() == '-') ++cursor_;
        skip_digits();
    }

    /// A new value where the cursor's next token stands; the innermost open one is its parent.
    ConfigValue* add(ConfigValue::Kind kind, ErrorCode& ec) {
        if (++values_ > kValuesMax) {
            ec = make_error_code(errc::limit_reached);
            return nullptr;
        }
        skip_to_token();
        after_key_ = false;
        ConfigValue* value = &root_;
        if (!open_.empty()) {
            ConfigValue& parent = *open_.back();
            value = parent.kind == ConfigValue::Kind::object ? &parent.members.back().value
                                                             : &parent.elements.emplace_back();
        }
        value->kind = kind;
        value->begin = cursor_;
        value->position = lines_.at(cursor_);
        return value;
    }

    bool open(ConfigValue::Kind kind, ErrorCode& ec) {
        ConfigValue* value = add(kind, ec);
        if (value == nullptr) return false;
        // The pointer stays good: its parent gets no other child before this one is closed.
        open_.push_back(value);
        ++cursor_;
        return true;
    }

    bool close(char bracket) {
        while (text_[cursor_] != bracket)
            ++cursor_;
        open_.back()->end = ++cursor_;
        open_.pop_back();
        return true;
    }

    bool number(ErrorCode& ec) {
        ConfigValue* value = add(ConfigValue::Kind::number, ec);
        if (value == nullptr) return false;
        skip_number();
        value->end = cursor_;
        value->text = text_.substr(value->begin, value->end - value->begin);
        return true;
    }

    std::string_view text_;
    const detail::LineIndex& lines_;
    std::size_t cursor_ = 0;
    std::size_t values_ = 0;
    bool after_key_ = false;
    std::string buffer_;
    ConfigValue root_;
    std::vector<ConfigValue*> open_;
};

}  // namespace

const ConfigValue::Member* ConfigValue::find(std::string_view name) const noexcept {
    const auto last = std::find_if(members.rbegin(), members.rend(), [&](const Member& member) {
        return member.key == name;
    });
    return last == members.rend() ? nullptr : &*last;
}

std::variant<ConfigValue, SyntaxError> parse_config(std::string_view text) {
    if (text.size() > kTextMax) {
        return SyntaxError{
            {}, fmt::format("the file has {} bytes; at most 16 MiB are read", text.size())
        };
    }
    const detail::LineIndex lines(text);
    const auto error = [&](std::size_t offset, std::string message) {
        return SyntaxError{lines.at(std::min(offset, text.size())), std::move(message)};
    };
    if (auto bad = detail::check_bytes(text)) return error(bad->offset, std::move(bad->message));

    boost::json::parse_options options;
    options.max_depth = kDepthMax;
    boost::json::basic_parser<Builder> parser(options, text, lines);
    boost::json::error_code ec;
    const std::size_t consumed = parser.write_some(/*more=*/false, text.data(), text.size(), ec);
    Builder& builder = parser.handler();
    if (!ec && consumed == text.size()) return builder.take();
    if (builder.too_many()) {
        return error(builder.cursor(), fmt::format("more than {} values in one file", kValuesMax));
    }
    auto bad = detail::diagnose(
        text, builder.cursor(), builder.place(), builder.opened(), kDepthMax - builder.depth()
    );
    if (bad) return error(bad->offset, std::move(bad->message));
    return error(consumed, "malformed JSON: " + (ec ? ec.message() : std::string("extra data")));
}

}  // namespace skywire::framework
