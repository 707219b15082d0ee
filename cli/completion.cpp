#include "cli/command.hpp"

#include <map>

#include <fmt/format.h>

namespace skywire::cli {

namespace {

/// One place in the command line where something can be completed: the words before, the words that
/// may follow, the options.
struct Node {
    /// Name and summary.
    std::vector<std::pair<std::string, std::string>> children;
    std::vector<Option> options;
};

/// By "svc run"; "" is the program.
std::map<std::string, Node> nodes_of(const Commands& commands) {
    std::map<std::string, Node> nodes;
    for (const auto& command : commands) {
        std::string place;
        const auto path = command->path();
        for (std::size_t i = 0; i < path.size(); ++i) {
            auto& children = nodes[place].children;
            const bool last = i + 1 == path.size();
            const bool known =
                std::any_of(children.begin(), children.end(), [&](const auto& child) {
                    return child.first == path[i];
                });
            if (!known) {
                children.emplace_back(path[i], last ? command->summary() : path[i] + " commands");
            }
            place += (place.empty() ? "" : " ") + path[i];
        }
        nodes[place].options = command->options();
    }
    return nodes;
}

std::vector<std::string> names_of(const Option& option) {
    std::vector<std::string> names;
    std::string_view rest = option.names;
    while (!rest.empty()) {
        const auto comma = rest.find(',');
        names.emplace_back(rest.substr(0, comma));
        rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
    return names;
}

bool is_flag(const Option& option) {
    return std::holds_alternative<bool*>(option.into);
}

/// Text inside single quotes of a shell.
std::string quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'') {
            out += "'\\''";
        } else {
            out += c;
        }
    }
    return out + "'";
}

// bash ------------------------------------------------------------------------------------------

/// The words that may follow at a place, and those after each option that takes a value.
std::string bash_cases(const std::map<std::string, Node>& nodes) {
    std::string cases;
    for (const auto& [place, node] : nodes) {
        std::string words;
        std::string values;
        bool files = false;
        for (const auto& child : node.children)
            words += child.first + " ";
        for (const Option& option : node.options) {
            if (option.is_positional()) {
                files = files || option.kind == ValueKind::file;
                for (const auto& choice : option.choices)
                    words += choice + " ";
                continue;
            }
            const auto names = names_of(option);
            for (const auto& name : names)
                words += name + " ";
            if (is_flag(option)) continue;
            values += fmt::format("            {})", fmt::join(names, "|"));
            if (option.kind == ValueKind::file) {
                values += " COMPREPLY=($(compgen -f -- \"$cur\"));";
            } else if (!option.choices.empty()) {
                values += fmt::format(
                    " COMPREPLY=($(compgen -W {} -- \"$cur\"));",
                    quoted(fmt::format("{}", fmt::join(option.choices, " ")))
                );
            }
            // What has no candidates gets none.
            values += " return ;;\n";
        }
        words += "--help";
        cases += fmt::format("    {}\n", quoted(place) + ")");
        if (!values.empty()) cases += "        case \"$prev\" in\n" + values + "        esac\n";
        cases += fmt::format("        words={} files={} ;;\n", quoted(words), files ? 1 : 0);
    }
    return cases;
}

std::string bash_script(const std::map<std::string, Node>& nodes) {
    std::string groups;
    for (const auto& [place, node] : nodes) {
        for (const auto& child : node.children) {
            groups += fmt::format(
                "    {}) place={} ;;\n",
                quoted(place + "|" + child.first),
                quoted(place.empty() ? child.first : place + " " + child.first)
            );
        }
    }
    return "# bash completion for skywire:  source <(skywire completion bash)\n"
           "_skywire() {\n"
           "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
           "    local place='' words='' files=0 i\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        case \"$place|${COMP_WORDS[i]}\" in\n" +
           groups +
           "        esac\n"
           "    done\n"
           "    case \"$place\" in\n" +
           bash_cases(nodes) +
           "    esac\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    if [ \"$files\" = 1 ] && [ \"${cur#-}\" = \"$cur\" ]; then\n"
           "        COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _skywire skywire\n";
}

// zsh -------------------------------------------------------------------------------------------

/// A description inside an _arguments specification.
std::string zsh_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string zsh_value(const Option& option) {
    if (option.kind == ValueKind::file) return "_files";
    if (option.choices.empty()) return "";
    return fmt::format("({})", fmt::join(option.choices, " "));
}

std::string zsh_arguments(const Node& node) {
    std::string lines;
    for (const Option& option : node.options) {
        if (option.is_positional()) {
            lines += " \\\n            " +
                     quoted(fmt::format(":{}:{}", zsh_text(option.help), zsh_value(option)));
            continue;
        }
        for (const auto& name : names_of(option)) {
            std::string spec = fmt::format("{}[{}]", name, zsh_text(option.help));
            if (!is_flag(option)) {
                spec += fmt::format(":{}:{}", zsh_text(option.placeholder), zsh_value(option));
            }
            lines += " \\\n            " + quoted(spec);
        }
    }
    return lines;
}

std::string zsh_script(const std::map<std::string, Node>& nodes) {
    std::string groups;
    std::string cases;
    for (const auto& [place, node] : nodes) {
        for (const auto& child : node.children) {
            groups += fmt::format(
                "            {}) place={}; start=$i ;;\n",
                quoted(place + "|" + child.first),
                quoted(place.empty() ? child.first : place + " " + child.first)
            );
        }
        cases += fmt::format("    {})\n", quoted(place));
        if (!node.children.empty()) {
            cases += "        local -a names=(";
            for (const auto& child : node.children) {
                cases += "\n            " + quoted(child.first + ":" + child.second);
            }
            cases += ")\n        _describe 'command' names ;;\n";
        } else {
            cases +=
                "        _arguments '--help[Explain the command]'" + zsh_arguments(node) + " ;;\n";
        }
    }
    return "#compdef skywire\n"
           "# zsh completion for skywire:  skywire completion zsh > ~/.zfunc/_skywire\n"
           "_skywire() {\n"
           "    local place='' i start=1\n"
           "    for ((i = 2; i < CURRENT; i++)); do\n"
           "        case \"$place|${words[i]}\" in\n" +
           groups +
           "        esac\n"
           "    done\n"
           "    # _arguments looks at the words from the command's name on.\n"
           "    words=(\"${(@)words[start,-1]}\")\n"
           "    ((CURRENT -= start - 1))\n"
           "    case \"$place\" in\n" +
           cases +
           "    esac\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _skywire ]; then _skywire \"$@\"; else compdef _skywire "
           "skywire; "
           "fi\n";
}

// fish ------------------------------------------------------------------------------------------

std::string fish_text(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + "'";
}

std::string fish_option(const std::string& condition, const Option& option) {
    std::string line = "complete -c skywire -n " + fish_text(condition);
    if (option.is_positional()) {
        if (option.kind == ValueKind::file) return line + " -F\n";
        if (option.choices.empty()) return {};
        return line + " -f -a " + fish_text(fmt::format("{}", fmt::join(option.choices, " "))) +
               "\n";
    }
    for (const auto& name : names_of(option)) {
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (!is_flag(option)) line += option.kind == ValueKind::file ? " -r -F" : " -x";
    if (!option.choices.empty()) {
        line += " -a " + fish_text(fmt::format("{}", fmt::join(option.choices, " ")));
    }
    return line + " -d " + fish_text(option.help) + "\n";
}

std::string fish_script(const std::map<std::string, Node>& nodes) {
    std::string script =
        "# fish completion for skywire:  skywire completion fish | source\n"
        "function __skywire_at\n"
        "    set -l place\n"
        "    for word in (commandline -opc)[2..]\n"
        "        string match -q -- '-*' $word; or set -a place $word\n"
        "    end\n"
        "    set -l wanted (string split ' ' -- $argv[1])\n"
        "    test -z \"$argv[1]\"; and set wanted\n"
        "    test \"$place[1..(count $wanted)]\" = \"$wanted\"; or return 1\n"
        "    test \"$argv[2]\" = below; or test (count $place) -eq (count $wanted)\n"
        "end\n"
        "complete -c skywire -f\n";
    for (const auto& [place, node] : nodes) {
        for (const auto& child : node.children) {
            script += fmt::format(
                "complete -c skywire -n {} -a {} -d {}\n",
                fish_text(fmt::format("__skywire_at '{}'", place)),
                fish_text(child.first),
                fish_text(child.second)
            );
        }
        for (const Option& option : node.options) {
            script += fish_option(fmt::format("__skywire_at '{}' below", place), option);
        }
    }
    return script;
}

class Completion final : public Command {
 public:
    std::vector<std::string> path() const override { return {"completion"}; }
    std::string summary() const override { return "Print a script that completes in your shell"; }

    std::string details() const override {
        return "Examples:\n"
               "  source <(skywire completion bash)                    in ~/.bashrc\n"
               "  skywire completion zsh > \"${fpath[1]}/_skywire\"\n"
               "  skywire completion fish > ~/.config/fish/completions/skywire.fish";
    }

    std::vector<Option> options() override {
        return {
            {"SHELL",
             "SHELL",
             "bash, zsh or fish",
             &shell_,
             ValueKind::choice,
             {"bash", "zsh", "fish"},
             true}
        };
    }

    int run(Session& session) override {
        const auto nodes = nodes_of(session.commands);
        if (shell_ == "bash") session.io.out << bash_script(nodes);
        if (shell_ == "zsh") session.io.out << zsh_script(nodes);
        if (shell_ == "fish") session.io.out << fish_script(nodes);
        return kDone;
    }

 private:
    std::string shell_;
};

}  // namespace

std::unique_ptr<Command> make_completion() {
    return std::make_unique<Completion>();
}

}  // namespace skywire::cli
