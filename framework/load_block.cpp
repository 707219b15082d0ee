#include "framework/load.hpp"

namespace skywire::framework::detail {

namespace {

using Kind = ConfigValue::Kind;

constexpr std::size_t kLabelMax = 64;

/// The framework key of a block, as the decoder of the existing network would find it.
const ConfigValue* framework_value(const ConfigValue& block, std::string_view key) {
    const FieldTable& table = framework_fields();
    const auto* member = find_member(block, table, *find_field(table, key));
    return member == nullptr ? nullptr : &member->value;
}

std::string text_of(const ConfigValue* value) {
    return value != nullptr && value->kind == Kind::string ? value->text : std::string();
}

}  // namespace

bool is_label(std::string_view name) noexcept {
    if (name.empty() || name.size() > kLabelMax || name.front() == '.' || name.front() == '-')
        return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    });
}

namespace {

RestartMode restart_mode(std::string_view word) {
    if (word == "always") return RestartMode::always;
    return word == "never" ? RestartMode::never : RestartMode::on_failure;
}

OnGiveUp on_give_up(std::string_view word) {
    if (word == "exit") return OnGiveUp::exit;
    return word == "stop-dependents" ? OnGiveUp::stop_dependents : OnGiveUp::degrade;
}

OnUpstreamRestart on_upstream_restart(std::string_view word) {
    if (word == "restart") return OnUpstreamRestart::restart;
    return word == "ignore" ? OnUpstreamRestart::ignore : OnUpstreamRestart::notify;
}

RestartPolicy read_restart(const Block& block, Problems& problems) {
    const RestartPolicy policy{
        .mode = restart_mode(block.text("policy")),
        .min = block.duration("min"),
        .max = block.duration("max"),
        .factor = block.number("factor"),
        .jitter = block.number("jitter"),
        .reset_after = block.duration("reset_after"),
        .max_in_window = static_cast<std::size_t>(block.integer("max_in_window")),
        .window = block.duration("window"),
        .on_give_up = on_give_up(block.text("on_give_up")),
    };
    if (policy.min > policy.max) {
        Problem problem = block.problem(
            block.has("min") ? "min" : "max",
            fmt::format(
                "\"restart.min\" is {}, more than \"restart.max\", which is {}",
                format_duration(policy.min),
                format_duration(policy.max)
            )
        );
        problems.push_back(std::move(problem));
    }
    return policy;
}

HealthPolicy read_health(const Block& block) {
    return {
        .interval = block.duration("interval"),
        .failures = static_cast<std::size_t>(block.integer("failures")),
        .successes = static_cast<std::size_t>(block.integer("successes")),
    };
}

Dependency read_dependency(const ConfigValue& value, const Block& entry) {
    Dependency dependency;
    dependency.position = value.position;
    if (value.kind == Kind::string) {
        const auto colon = value.text.find(':');
        dependency.label = value.text.substr(0, colon);
        if (colon != std::string::npos) dependency.milestone = value.text.substr(colon + 1);
        return dependency;
    }
    dependency.label = entry.text("label");
    dependency.milestone = entry.text("milestone");
    dependency.gate = entry.text("gate");
    dependency.on_restart = on_upstream_restart(entry.text("on_restart"));
    return dependency;
}

std::optional<std::vector<Dependency>> read_dependencies(
    const ConfigValue& block, Reporter& reporter
) {
    const ConfigValue* list = framework_value(block, "depends_on");
    if (list == nullptr || list->kind != Kind::array) return std::nullopt;
    const FieldTable& members = find_field(framework_fields(), "depends_on")->members;
    std::vector<Dependency> dependencies;
    for (const ConfigValue& value : list->elements) {
        Dependency next = read_dependency(value, Block(reporter.label(), value, members));
        const auto same =
            std::find_if(dependencies.begin(), dependencies.end(), [&](const Dependency& earlier) {
                return earlier.label == next.label && earlier.milestone == next.milestone &&
                       earlier.gate == next.gate;
            });
        if (same == dependencies.end()) {
            dependencies.push_back(std::move(next));
            continue;
        }
        reporter.warning(
            "repeated-value",
            next.position,
            fmt::format("\"{}:{}\" is listed twice in \"depends_on\"", next.label, next.milestone),
            "",
            same->position
        );
    }
    return dependencies;
}

void check_keys(const Block& block, const FieldTable& table, Reporter& reporter) {
    const Field* secret_field = find_field(table, "secret_key");
    const bool keyed = secret_field != nullptr && secret_field->kind == FieldKind::secret_key;
    if (block.has("keyfile") && !keyed) {
        reporter.warning(
            "no-effect",
            block.position("keyfile"),
            "\"keyfile\" has no effect: services of this type have no key in their block"
        );
    }
    if (!keyed) return;
    const auto secret_key = block.secret_key("secret_key");
    if (!secret_key) return;
    if (block.has("keyfile")) {
        reporter.warning(
            "no-effect",
            block.position("keyfile"),
            "\"keyfile\" is ignored because \"secret_key\" is set",
            "",
            block.position("secret_key")
        );
    }
    const Field* public_field = find_field(table, "public_key");
    if (public_field == nullptr || public_field->kind != FieldKind::public_key) return;
    const crypto::PublicKey given = block.public_key("public_key");
    const crypto::PublicKey derived = crypto::public_key_of(*secret_key);
    if (given.is_null() || given == derived) return;
    reporter.error(
        "key-mismatch",
        block.position("public_key"),
        fmt::format("\"public_key\" is not that of \"secret_key\", which is {}", derived),
        "",
        block.position("secret_key")
    );
}

/// The framework's keys of a block whose kinds are right.
void read_framework_keys(BlockConfig& config, Reporter& reporter, Problems& problems) {
    const Block& block = *config.block;
    const Block own(config.label, block.value(), framework_fields());
    config.restart = read_restart(own.object("restart"), problems);
    config.health = read_health(own.object("health"));
    config.start_timeout = own.duration("start_timeout");
    config.drain_timeout = own.duration("drain_timeout");
    config.stop_timeout = own.duration("stop_timeout");
    config.critical = own.boolean("critical");
    if (own.has("log_level")) {
        config.log_level = read_level(own.text("log_level")).value_or(log::Level::info);
    }
    if (own.text("isolation") == "process") {
        reporter.error(
            "unsupported",
            own.position("isolation"),
            "\"isolation\": \"process\" is not supported by this build; leave it out or write "
            "\"in-process\""
        );
    }
    check_keys(block, config.type->fields, reporter);
}

const ServiceType* find_type(
    const ConfigValue& block, std::size_t index, const ServiceRegistry& registry, Reporter& reporter
) {
    const ConfigValue* value = framework_value(block, "type");
    // Without a name and a type the label says the same already.
    const std::string place = fmt::format("services[{}]", index);
    const std::string subject = place == reporter.label() ? "" : place + " ";
    const std::string known = fmt::format("{}", fmt::join(registry.names(), ", "));
    if (value == nullptr || (value->kind == Kind::string && value->text.empty())) {
        reporter.error(
            "missing-key",
            value == nullptr ? block.position : value->position,
            fmt::format("{}has no \"type\"; known types: {}", subject, known)
        );
        return nullptr;
    }
    if (value->kind != Kind::string) {
        reporter.error(
            "wrong-kind",
            value->position,
            fmt::format("{}has a \"type\" that is not a string; known types: {}", subject, known)
        );
        return nullptr;
    }
    if (const ServiceType* type = registry.find(value->text)) return type;
    reporter.error(
        "unknown-type",
        value->position,
        fmt::format(
            "{}has the unknown type {}; known types: {}",
            subject,
            quote_peer_text(value->text, 80),
            known
        ),
        nearest(value->text, registry.names())
    );
    return nullptr;
}

/// Who has a label: the value that says so.
using Taken = std::map<std::string, const ConfigValue*>;

/// Labels of the blocks that have a name, "" for the others.
std::vector<std::string> labels_from_names(
    const std::vector<ConfigValue>& services, Taken& taken, Problems& problems
) {
    std::vector<std::string> labels(services.size());
    for (std::size_t i = 0; i < services.size(); ++i) {
        const ConfigValue* name = framework_value(services[i], "name");
        const std::string text = text_of(name);
        if (text.empty()) continue;
        if (!is_label(text)) {
            labels[i] = fmt::format("services[{}]", i);
            std::string message = fmt::format(
                "\"name\" {} cannot be a label: up to {} letters, digits, '.', '_' and '-', the "
                "first "
                "one a letter, digit or '_'",
                quote_peer_text(text, 80),
                kLabelMax
            );
            Reporter(labels[i], problems).error("bad-value", name->position, std::move(message));
            continue;
        }
        labels[i] = text;
        const auto [earlier, first] = taken.emplace(text, name);
        if (first) continue;
        Reporter(text, problems)
            .error(
                "clash",
                name->position,
                fmt::format("two blocks have the name \"{}\"", text),
                "",
                earlier->second->position
            );
    }
    return labels;
}

}  // namespace

std::vector<std::string> assign_labels(
    const std::vector<ConfigValue>& services, Problems& problems
) {
    Taken taken;
    std::vector<std::string> labels = labels_from_names(services, taken, problems);
    for (std::size_t i = 0; i < services.size(); ++i) {
        if (!labels[i].empty()) continue;
        const ConfigValue* type = framework_value(services[i], "type");
        const std::string base = text_of(type);
        if (base.empty() || !is_label(base)) {
            labels[i] = fmt::format("services[{}]", i);
            continue;
        }
        labels[i] = base;
        for (std::size_t n = 2; taken.contains(labels[i]); ++n) {
            labels[i] = fmt::format("{}-{}", base, n);
        }
        if (labels[i] != base) {
            std::string message = fmt::format(
                "services[{}] has no name and \"{}\" is taken: it gets the label \"{}\"",
                i,
                base,
                labels[i]
            );
            Reporter(labels[i], problems)
                .warning(
                    "label", services[i].position, std::move(message), "", taken.at(base)->position
                );
        }
        taken.emplace(labels[i], type);
    }
    return labels;
}

BlockConfig load_block(
    std::string label,
    std::size_t index,
    const ConfigValue& value,
    bool complete,
    const ServiceRegistry& registry,
    Problems& problems
) {
    BlockConfig config;
    config.label = std::move(label);
    config.index = index;
    config.position = value.position;
    Reporter reporter(config.label, problems);
    if (value.kind != Kind::object) {
        reporter.error(
            "wrong-kind",
            value.position,
            fmt::format(
                "must be an object with a \"type\"{}", value.kind == Kind::null ? ", is null" : ""
            )
        );
        return config;
    }
    config.type = find_type(value, index, registry, reporter);
    if (!complete) return config;
    static const FieldTable none;
    ObjectRules rules;
    rules.table = config.type == nullptr ? &none : &config.type->fields;
    rules.shared = &framework_fields();
    rules.open = config.type == nullptr;
    Problems found;
    Reporter checked(config.label, found);
    check_object(value, rules, checked);
    // The type's own sentence has been said.
    std::erase_if(found, [&](const Problem& problem) {
        return config.type == nullptr && (problem.message.starts_with("\"type\""));
    });
    const bool sound = !has_errors(found);
    problems.insert(problems.end(), found.begin(), found.end());
    if (config.type == nullptr || !sound) return config;

    config.depends_on = read_dependencies(value, reporter);
    config.block = std::make_shared<const Block>(
        config.label, value, config.type->fields, &framework_fields()
    );
    found.clear();
    read_framework_keys(config, checked, found);
    if (config.type->check) config.type->check(*config.block, found);
    if (has_errors(found)) {
        config.block.reset();
    } else if (config.type->facts) {
        config.facts = config.type->facts(*config.block);
    }
    problems.insert(problems.end(), found.begin(), found.end());
    return config;
}

}  // namespace skywire::framework::detail
