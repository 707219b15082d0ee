#pragma once

#include "framework/deployment_config.hpp"
#include "framework/values.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

/// The steps of load_deployment. Private to framework/.
namespace skywire::framework::detail {

/// The keys around the blocks: `services` and `supervisor`.
const FieldTable& document_fields();

/// More blocks than any machine runs: the edges between them are counted in pairs.
constexpr std::size_t kBlocksMax = 512;

/// A label names a file, a part of a URL and of "label:milestone", and is listed with commas.
bool is_label(std::string_view name) noexcept;

/// Labels for the blocks of `services`, in their order: the name, else the type; made unique.
std::vector<std::string> assign_labels(
    const std::vector<ConfigValue>& services, Problems& problems
);

/// The files that were read beside the deployment file, by Position::file; the first one is empty.
using FileNames = std::vector<std::string>;

/// Puts the members of the files that blocks name into the blocks of a document. Gives the blocks,
/// by index, whose file could not be had: of those nothing more is said, since all would be
/// missing.
std::set<std::size_t> merge_block_files(
    ConfigValue& document,
    const ServiceRegistry& registry,
    const ReadFile& read,
    FileNames& files,
    Problems& problems
);

/// Checks one block by itself. Without a usable type `type` is null; with any other error `block`
/// is null, and only label, type, index, position and depends_on may be asked for. `complete`
/// false: a part of the block could not be read, which has been said.
BlockConfig load_block(
    std::string label,
    std::size_t index,
    const ConfigValue& value,
    bool complete,
    const ServiceRegistry& registry,
    Problems& problems
);

/// Edges to blocks and milestones that do not exist, and cycles.
void check_dependencies(const std::vector<BlockConfig>& blocks, Problems& problems);

/// Ports, keys, prefixes and databases that two blocks claim, and what else only all blocks
/// together show. Blocks with errors of their own are passed over.
void check_clashes(
    const std::vector<BlockConfig>& blocks,
    const SupervisorConfig& supervisor,
    Position admin_position,
    Problems& problems
);

/// Sorts by `position`; equal ones keep their order. (std::stable_sort of libstdc++ 12 does not
/// pass clang's warnings.)
template <class T>
void sort_by_position(std::vector<T>& items) {
    std::multimap<Position, T> sorted;
    for (T& item : items)
        sorted.emplace(item.position, std::move(item));
    items.clear();
    for (auto& [position, item] : sorted)
        items.push_back(std::move(item));
}

/// The name of whoever's well-known test key this is, or "" (spec/e2e.md section 3).
std::string_view public_test_key(const crypto::PublicKey& key);

}  // namespace skywire::framework::detail
