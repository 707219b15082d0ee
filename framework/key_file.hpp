#pragma once

#include "base/log.hpp"
#include "base/random.hpp"
#include "crypto/keys.hpp"
#include "framework/deployment_config.hpp"

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <sys/types.h>

/// Key files: the `keyfile` key of a block (spec/framework.md section 5). A key file holds the 64
/// hex digits of a secret key and white space around them.
namespace skywire::framework {

/// A key that was read from its file, or made and written there.
struct KeyFile {
    crypto::SecretKey secret_key;
    crypto::PublicKey public_key;
    /// The file was not there: it is new.
    bool created = false;
    /// Its permissions, where others than its owner may read it. Container secrets are 0444, so
    /// this is worth a warning, not a refusal.
    std::optional<mode_t> readable_by_others;
};

/// Reads the key at `path`; where nothing is there, makes one from `random` and writes it with mode
/// 0600, whole or not at all. Of two processes that do so at once, both end up with the same key.
/// Errors name the path: not a regular file, empty, not a key, cannot be read or written.
Result<KeyFile> open_key_file(const std::string& path, Random& random);

/// Reads the key at `path`; a missing file is an error (errc::not_found).
Result<KeyFile> read_key_file(const std::string& path);

/// Writes a key to a new file of mode 0600: a temporary file beside it, flushed, then renamed.
/// errc::wrong_state where `path` exists: a key is never overwritten.
Result<> write_key_file(const std::string& path, const crypto::SecretKey& key, Random& random);

/// The same for any text that has a key in it.
Result<> write_secret_file(const std::string& path, std::string_view text, Random& random);

/// Gives every chosen block with a `keyfile` and without an inline `secret_key` the key of its
/// file. Logs the path and the public key of a new one, and warns of files that others may read.
/// `only` selects labels; empty = all. The error names the block.
Result<> resolve_key_files(
    DeploymentConfig& config,
    const std::set<std::string>& only,
    Random& random,
    const log::Logger& logger
);

}  // namespace skywire::framework
