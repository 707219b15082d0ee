#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

/// Tables of configuration keys. One table drives everything that is said about a key: the check of
/// a file, the typed reading of a block, the JSON Schema in configs/ and the reference in docs/.
namespace skywire::framework {

enum class FieldKind {
    boolean,
    /// An integer within [min, max].
    integer,
    /// A number, with a fraction or without, within [min, max].
    number,
    string,
    /// "1h30m", or a number of nanoseconds (spec/framework.md section 3).
    duration,
    /// 66 hex digits on the curve, or all zeros or empty for "unset".
    public_key,
    /// 64 hex digits. Never printed.
    secret_key,
    /// "host:port", ":port" or, where allowed_unix is set, "unix:PATH".
    address,
    /// An IPv4 or IPv6 literal.
    ip,
    /// An IP network in CIDR form, or a single address.
    cidr,
    /// An absolute URL with a host; of dmsg the host is a public key.
    url,
    /// What store::RedisUrl accepts.
    redis_url,
    log_level,
    path,
    /// One of `choices`, compared without case and surrounding white space.
    choice,
    /// An array; `element` says of what.
    list,
    /// An object with `members`.
    object,
    /// Text and a list of text, or an object and a list of objects: `element` says of what.
    one_or_list,
    /// Text, or an object with `members`: an entry of depends_on.
    text_or_object,
    /// Any JSON value, not looked into.
    any,
};

/// "a duration", "a public key": the kind in a sentence.
std::string_view kind_name(FieldKind kind) noexcept;

struct Field {
    std::string_view name;
    FieldKind kind = FieldKind::any;
    /// One sentence for the reference and the schema; what the value means, and its unit.
    std::string_view description = "";
    /// JSON text of the default, "" where there is none.
    std::string_view default_json = "";
    /// Of an integer or a number; of a duration in seconds.
    double min = std::numeric_limits<double>::lowest();
    double max = std::numeric_limits<double>::max();
    /// Of a choice; of a url its schemes, where they are not http, https and dmsg.
    std::vector<std::string_view> choices = {};
    /// Of a list or one_or_list.
    FieldKind element = FieldKind::any;
    /// Of an object, or of the elements of a list of objects.
    std::vector<Field> members = {};
    bool required = false;
    /// The value is never printed, logged or shown by an admin answer.
    bool secret = false;
    /// Another name for this key: reads as that one.
    std::string_view alias_of = "";
    /// A key of an older vintage: accepted, ignored, and warned about: "KEY is ignored: it " and
    /// this
    /// ("belongs to the DHT, which is gone").
    std::string_view legacy = "";
    /// Members besides those listed pass (entries of other vintages).
    bool open = false;
    bool allowed_unix = false;
    /// A path of a JSON file whose members stand in this block, before those that it has itself.
    bool block_file = false;
};

using FieldTable = std::vector<Field>;

/// Both tables in one: the keys a type shares with others, then its own.
FieldTable joined(FieldTable first, const FieldTable& second);

/// The field of exactly that name, or null.
const Field* find_field(const FieldTable& table, std::string_view name) noexcept;

/// Equal but for the case of ASCII letters: the existing network's decoder takes such keys.
bool same_key(std::string_view a, std::string_view b) noexcept;

/// Keys of every block: type, name, depends_on, restart, timeouts, health, keyfile, log_level ...
const FieldTable& framework_fields();

/// Keys of the top-level `supervisor` object.
const FieldTable& supervisor_fields();

}  // namespace skywire::framework
