#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "framework/config_value.hpp"
#include "framework/problem.hpp"
#include "framework/schema.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// A checked block (or nested object) of a file, read through its table: the kinds are right, the
/// ranges hold, defaults and aliases are applied. Asking for a key that the table does not have, or
/// as another kind, is a bug of ours and ends the process.
class Block {
 public:
    /// `value` and the tables outlive the block. `shared` are keys beside the table's own: those of
    /// the framework, which a service may read too (keyfile).
    Block(
        std::string label,
        const ConfigValue& value,
        const FieldTable& table,
        const FieldTable* shared = nullptr
    );

    const std::string& label() const noexcept { return label_; }
    const ConfigValue& value() const noexcept { return *value_; }

    /// Set in the file, to something else than null and the kind's zero value: "", 0, false, "0s",
    /// a key of zeros, an empty list or object.
    bool has(std::string_view key) const;

    bool boolean(std::string_view key) const;
    std::int64_t integer(std::string_view key) const;
    double number(std::string_view key) const;
    /// Of string, url, path, ip, cidr, redis_url, address as written; choice and log_level in lower
    /// case and trimmed, the default where they are empty, "info" for an unknown level.
    std::string text(std::string_view key) const;
    Duration duration(std::string_view key) const;
    /// Null key where unset.
    crypto::PublicKey public_key(std::string_view key) const;
    std::optional<crypto::SecretKey> secret_key(std::string_view key) const;
    std::optional<net::Address> address(std::string_view key) const;
    /// Of a list or one_or_list of text.
    std::vector<std::string> texts(std::string_view key) const;
    std::vector<crypto::PublicKey> public_keys(std::string_view key) const;
    /// A nested object; an empty one (all defaults) where unset.
    Block object(std::string_view key) const;
    std::vector<Block> objects(std::string_view key) const;

    /// The key of the block's key file: from now on "secret_key" is set to it, and "public_key" to
    /// its public key, where the file sets them not.
    void use_secret_key(crypto::SecretKey key) { file_key_ = key; }

    /// Where the key's value stands, or the block where it is unset.
    Position position(std::string_view key) const;
    Position position() const noexcept { return origin_; }

    /// Whether the table has such a key.
    bool knows(std::string_view key) const noexcept;

    /// An error or a warning at a key of this block.
    Problem problem(std::string_view key, std::string message) const;
    Problem warning(std::string_view key, std::string message) const;

 private:
    const Field& field(std::string_view key) const;
    const ConfigValue* find(std::string_view key) const;
    /// The value of the file or the default; null kind where there is neither.
    ConfigValue effective(std::string_view key) const;

    std::string label_;
    const ConfigValue* value_;
    const FieldTable* table_;
    const FieldTable* shared_;
    Position origin_;
    /// From the key file: consulted by has, secret_key and public_key.
    std::optional<crypto::SecretKey> file_key_;
};

}  // namespace skywire::framework
