#include "framework/deployment_config.hpp"
#include "framework/load.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

namespace skywire::framework {

namespace {

constexpr std::size_t kFileMax = 16U << 20U;

}  // namespace

namespace detail {

namespace {

SupervisorConfig read_supervisor(const Block& block) {
    SupervisorConfig config;
    config.admin_addr = block.address("admin_addr");
    config.admin_token_file = block.text("admin_token_file");
    config.json_logs = block.text("log_format") == "json";
    config.state_dir = block.text("state_dir");
    config.shutdown_timeout = block.duration("shutdown_timeout");
    return config;
}

/// The list of blocks, or null with the reason among the problems.
const std::vector<ConfigValue>* find_services(const ConfigValue& root, Reporter& reporter) {
    const FieldTable& table = document_fields();
    const auto* member = find_member(root, table, *find_field(table, "services"));
    if (member == nullptr) {
        reporter.error("no-services", root.position, "config has no services");
        return nullptr;
    }
    if (member->value.kind != ConfigValue::Kind::array) return nullptr;
    if (member->value.elements.empty()) {
        reporter.error(
            "no-services", member->value.position, "config has no services: \"services\" is empty"
        );
        return nullptr;
    }
    if (member->value.elements.size() > kBlocksMax) {
        reporter.error(
            "too-many",
            member->value.position,
            fmt::format(
                "{} services in one file; at most {} are possible",
                member->value.elements.size(),
                kBlocksMax
            )
        );
        return nullptr;
    }
    return &member->value.elements;
}

void load_blocks(
    DeploymentConfig& config,
    const std::vector<ConfigValue>& services,
    const std::set<std::size_t>& incomplete,
    const ServiceRegistry& registry,
    Problems& problems
) {
    auto labels = assign_labels(services, problems);
    for (std::size_t i = 0; i < services.size(); ++i) {
        const bool complete = !incomplete.contains(i);
        config.blocks.push_back(
            load_block(std::move(labels[i]), i, services[i], complete, registry, problems)
        );
    }
    check_dependencies(config.blocks, problems);
}

void load_document(
    DeploymentConfig& config,
    const std::set<std::size_t>& incomplete,
    const ServiceRegistry& registry,
    Problems& problems
) {
    const ConfigValue& root = *config.tree;
    Reporter reporter("", problems);
    if (root.kind != ConfigValue::Kind::object) {
        reporter.error(
            "wrong-kind", root.position, "a deployment file is an object: {\"services\": [...]}"
        );
        return;
    }
    ObjectRules rules;
    rules.table = &document_fields();
    rules.unknown_warns = true;
    check_object(root, rules, reporter);
    // Keys of `supervisor` are ours alone: a slip there is an error as it is in a block.
    const bool sound = !has_errors(problems);
    Position admin_position;
    if (sound) {
        const Block document("", root, document_fields());
        const Block supervisor = document.object("supervisor");
        config.supervisor = read_supervisor(supervisor);
        admin_position = supervisor.position("admin_addr");
    }
    if (const auto* services = find_services(root, reporter)) {
        load_blocks(config, *services, incomplete, registry, problems);
        check_clashes(config.blocks, config.supervisor, admin_position, problems);
    }
}

}  // namespace

const FieldTable& document_fields() {
    static const FieldTable fields{
        {.name = "services",
         .kind = FieldKind::list,
         .description = "The services of the deployment. Their order does not matter."},
        {.name = "supervisor",
         .kind = FieldKind::object,
         .description = "Settings of the process itself.",
         .members = supervisor_fields()},
    };
    return fields;
}

}  // namespace detail

namespace {

/// The error's text is a sentence that begins with "cannot".
Result<std::string> read_file(const std::string& path) {
    const auto unreadable = [](const char* doing) {
        return fail(errc::unavailable, fmt::format("cannot {}: {}", doing, std::strerror(errno)));
    };
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(
        std::fopen(path.c_str(), "rb"), &std::fclose
    );
    if (!in) return unreadable("open the file");
    std::string text;
    std::array<char, 65536> piece;
    // One byte over the limit is enough for the parser to refuse.
    while (text.size() <= kFileMax) {
        const std::size_t got = std::fread(piece.data(), 1, piece.size(), in.get());
        text.append(piece.data(), got);
        if (got < piece.size()) break;
    }
    if (std::ferror(in.get()) != 0) return unreadable("read the file");
    return text;
}

}  // namespace

const BlockConfig* DeploymentConfig::find(std::string_view label) const noexcept {
    const auto found = std::find_if(blocks.begin(), blocks.end(), [&](const BlockConfig& block) {
        return block.label == label;
    });
    return found == blocks.end() ? nullptr : &*found;
}

LoadedConfig load_deployment(
    std::string file, std::string text, const ServiceRegistry& registry, const ReadFile& read
) {
    LoadedConfig loaded;
    DeploymentConfig config;
    config.file = std::move(file);
    config.text = std::make_shared<const std::string>(std::move(text));
    auto parsed = parse_config(*config.text);
    if (auto* error = std::get_if<SyntaxError>(&parsed)) {
        detail::Reporter("", loaded.problems).error("syntax", error->position, error->message);
        return loaded;
    }
    auto tree = std::make_shared<ConfigValue>(std::get<ConfigValue>(std::move(parsed)));
    detail::FileNames files{""};
    const auto incomplete =
        detail::merge_block_files(*tree, registry, read, files, loaded.problems);
    config.tree = std::move(tree);
    detail::load_document(config, incomplete, registry, loaded.problems);
    detail::sort_by_position(loaded.problems);
    for (Problem& problem : loaded.problems) {
        problem.file = files[problem.position.file];
        problem.other_file = files[problem.other.file];
    }
    if (!has_errors(loaded.problems)) loaded.config = std::move(config);
    return loaded;
}

LoadedConfig load_deployment_file(const std::string& path, const ServiceRegistry& registry) {
    auto text = read_file(path);
    if (text) return load_deployment(path, std::move(*text), registry, read_file);
    LoadedConfig loaded;
    detail::Reporter("", loaded.problems).error("unreadable", {}, text.error().message());
    return loaded;
}

}  // namespace skywire::framework
