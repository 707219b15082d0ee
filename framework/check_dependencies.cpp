#include "framework/graph.hpp"
#include "framework/load.hpp"

namespace skywire::framework::detail {

namespace {

/// "ready" and the type's own: what others may wait for.
std::vector<std::string_view> milestones_of(const ServiceType& type) {
    std::vector<std::string_view> names(type.milestones.begin(), type.milestones.end());
    names.emplace_back("ready");
    return names;
}

/// "start" and the type's own: what may be held back.
std::vector<std::string_view> gates_of(const ServiceType& type) {
    std::vector<std::string_view> names{"start"};
    names.insert(names.end(), type.milestones.begin(), type.milestones.end());
    return names;
}

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// The label that was meant: one like it, or that of the only block of a type of this name.
std::string meant_label(const std::vector<BlockConfig>& blocks, std::string_view label) {
    std::vector<std::string_view> labels;
    std::vector<std::string_view> of_type;
    for (const BlockConfig& block : blocks) {
        labels.emplace_back(block.label);
        if (block.type != nullptr && block.type->name == label) of_type.emplace_back(block.label);
    }
    return of_type.size() == 1 ? std::string(of_type.front()) : nearest(label, labels);
}

bool check_dependency(
    const std::vector<BlockConfig>& blocks,
    const BlockConfig& block,
    const Dependency& dependency,
    Reporter& reporter
) {
    if (dependency.label == block.label) {
        reporter.error(
            "dependency",
            dependency.position,
            fmt::format("\"depends_on\" names the block itself, \"{}\"", block.label)
        );
        return false;
    }
    const auto upstream = std::find_if(blocks.begin(), blocks.end(), [&](const BlockConfig& other) {
        return other.label == dependency.label;
    });
    if (upstream == blocks.end()) {
        reporter.error(
            "dependency",
            dependency.position,
            fmt::format(
                "\"depends_on\" names {}, and no block has this label",
                quote_peer_text(dependency.label, 80)
            ),
            meant_label(blocks, dependency.label)
        );
        return false;
    }
    bool sound = true;
    if (upstream->type != nullptr) {
        const auto names = milestones_of(*upstream->type);
        if (!contains(names, dependency.milestone)) {
            reporter.error(
                "dependency",
                dependency.position,
                fmt::format(
                    "{} (\"{}\") has no milestone {}; there are {}",
                    upstream->type->name,
                    upstream->label,
                    quote_peer_text(dependency.milestone, 80),
                    fmt::join(names, ", ")
                ),
                nearest(dependency.milestone, names)
            );
            sound = false;
        }
    }
    const auto gates = gates_of(*block.type);
    if (!contains(gates, dependency.gate)) {
        reporter.error(
            "dependency",
            dependency.position,
            fmt::format(
                "{} has no gate {}; there are {}",
                block.type->name,
                quote_peer_text(dependency.gate, 80),
                fmt::join(gates, ", ")
            ),
            nearest(dependency.gate, gates)
        );
        sound = false;
    }
    return sound;
}

/// Where the way from `from` to `to` is written down: the entry of depends_on, else the block.
Position edge_position(
    const std::vector<BlockConfig>& blocks, std::string_view from, std::string_view to
) {
    for (const BlockConfig& block : blocks) {
        if (block.label != from) continue;
        if (block.depends_on) {
            for (const Dependency& dependency : *block.depends_on) {
                if (dependency.label == to) return dependency.position;
            }
        }
        return block.position;
    }
    return {};
}

void report_cycle(const std::vector<BlockConfig>& blocks, Problems& problems) {
    const auto cycle = Graph(blocks).cycle();
    if (!cycle) return;
    const auto label_of = [](const std::string& node) { return node.substr(0, node.find(':')); };
    const std::string label = label_of(cycle->front());
    std::string upstream;
    for (const std::string& node : *cycle) {
        upstream = label_of(node);
        if (upstream != label) break;
    }
    Reporter(label, problems)
        .error(
            "cycle",
            edge_position(blocks, label, upstream),
            fmt::format("these wait for each other: {}", fmt::join(*cycle, " <- ")),
            "",
            edge_position(blocks, upstream, label)
        );
}

}  // namespace

void check_dependencies(const std::vector<BlockConfig>& blocks, Problems& problems) {
    bool sound = true;
    for (const BlockConfig& block : blocks) {
        // Without a block of its own kind there is no telling what would follow from its type.
        sound = sound && block.type != nullptr && block.block != nullptr;
        if (!block.depends_on) continue;
        Reporter reporter(block.label, problems);
        for (const Dependency& dependency : *block.depends_on) {
            sound = check_dependency(blocks, block, dependency, reporter) && sound;
        }
    }
    if (sound) report_cycle(blocks, problems);
}

}  // namespace skywire::framework::detail
