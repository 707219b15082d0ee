#include "framework/load.hpp"

namespace skywire::framework::detail {
namespace {

using Kind = ConfigValue::Kind;

void set_file(ConfigValue& value, std::uint32_t file) {
    value.position.file = file;
    for (ConfigValue& element : value.elements)
        set_file(element, file);
    for (ConfigValue::Member& member : value.members) {
        member.position.file = file;
        set_file(member.value, file);
    }
}

/// The field of a type that names a file of the block, or null.
const Field* block_file_field(const ServiceType& type) {
    const auto found = std::find_if(type.fields.begin(), type.fields.end(), [](const Field& field) {
        return field.block_file;
    });
    return found == type.fields.end() ? nullptr : &*found;
}

/// The type of a block, or null where it has none that is known; whoever loads the block says so.
const ServiceType* type_of(const ConfigValue& block, const ServiceRegistry& registry) {
    if (block.kind != Kind::object) return nullptr;
    const FieldTable& shared = framework_fields();
    const auto* type = find_member(block, shared, *find_field(shared, "type"));
    if (type == nullptr || type->value.kind != Kind::string) return nullptr;
    return registry.find(type->value.text);
}

/// The object in a file that a block names, its positions in that file; nothing with the reason
/// among the problems.
std::optional<ConfigValue> read_object(
    const ConfigValue::Member& path, const ReadFile& read, FileNames& files, Reporter& reporter
) {
    const auto refused = [&](const std::string& why) {
        reporter.error(
            "unreadable",
            path.value.position,
            fmt::format("\"{}\" {}: {}", path.key, quote_peer_text(path.value.text), why)
        );
        return std::nullopt;
    };
    if (!read) return refused("files are read only for a deployment that is itself a file");
    const auto text = read(path.value.text);
    if (!text) return refused(text.error().message());
    const auto file = static_cast<std::uint32_t>(files.size());
    files.push_back(path.value.text);
    auto parsed = parse_config(*text);
    if (const auto* error = std::get_if<SyntaxError>(&parsed)) {
        reporter.error(
            "syntax", {error->position.line, error->position.column, file}, error->message
        );
        return std::nullopt;
    }
    auto object = std::get<ConfigValue>(std::move(parsed));
    set_file(object, file);
    if (object.kind == Kind::object) return object;
    reporter.error(
        "wrong-kind", object.position, "a file that a block names is an object with its keys"
    );
    return std::nullopt;
}

/// A key of the framework tells it what to run and when: it is looked for in one file alone.
/// log_level is a service's own as well.
bool belongs_to_framework(std::string_view key) {
    const FieldTable& shared = framework_fields();
    return std::any_of(shared.begin(), shared.end(), [&](const Field& field) {
        return same_key(field.name, key) && field.name != "log_level";
    });
}

/// The file's members stand in the block, in place of those of the same name.
void merge(ConfigValue& block, ConfigValue object, Reporter& reporter) {
    for (ConfigValue::Member& member : object.members) {
        if (belongs_to_framework(member.key)) {
            reporter.error(
                "misplaced-key",
                member.position,
                fmt::format("{} belongs in the deployment file", quote_peer_text(member.key))
            );
            continue;
        }
        std::erase_if(block.members, [&](const ConfigValue::Member& inline_member) {
            const bool hidden =
                inline_member.position.file == 0 && same_key(inline_member.key, member.key);
            if (hidden) {
                reporter.warning(
                    "no-effect",
                    inline_member.position,
                    fmt::format("{} is that of the block's file", quote_peer_text(member.key)),
                    "",
                    member.position
                );
            }
            return hidden;
        });
        block.members.push_back(std::move(member));
    }
}

/// The name of a block as far as it is known before the labels are given out.
std::string label_of(const ConfigValue& block) {
    const FieldTable& shared = framework_fields();
    for (const std::string_view key : {"name", "type"}) {
        const auto* member = find_member(block, shared, *find_field(shared, key));
        if (member != nullptr && is_label(member->value.text)) return member->value.text;
    }
    return "";
}

}  // namespace

std::set<std::size_t> merge_block_files(
    ConfigValue& document,
    const ServiceRegistry& registry,
    const ReadFile& read,
    FileNames& files,
    Problems& problems
) {
    std::set<std::size_t> incomplete;
    for (ConfigValue::Member& services : document.members) {
        // A document with more blocks is refused as a whole.
        if (!same_key(services.key, "services") || services.value.elements.size() > kBlocksMax)
            continue;
        for (std::size_t i = 0; i < services.value.elements.size(); ++i) {
            ConfigValue& block = services.value.elements[i];
            const ServiceType* type = type_of(block, registry);
            const Field* field = type == nullptr ? nullptr : block_file_field(*type);
            if (field == nullptr) continue;
            const auto* path = find_member(block, type->fields, *field);
            if (path == nullptr || path->value.kind != Kind::string || path->value.text.empty())
                continue;
            Reporter reporter(label_of(block), problems);
            auto object = read_object(*path, read, files, reporter);
            if (object) {
                merge(block, std::move(*object), reporter);
            } else {
                incomplete.insert(i);
            }
        }
    }
    return incomplete;
}

}  // namespace skywire::framework::detail
