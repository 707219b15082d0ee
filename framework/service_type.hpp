#pragma once

#include "framework/block_facts.hpp"
#include "framework/service.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// A thing outside of this process that a block needs before it can start.
struct External {
    /// "redis://127.0.0.1:6379/0": unique per thing, shown as the cause while it is missing.
    std::string name;
    /// "redis": what kind, for the sentence "redis unreachable".
    std::string kind;
    /// One try; called again until it succeeds.
    std::function<Task<Result<>>(net::Context)> probe;
};

/// "This type's `gate` waits for `milestone` of every block of `upstream_type`." The gate "start"
/// holds back the whole service, another one only the milestone of that name.
struct TypeEdge {
    std::string gate = "start";
    std::string upstream_type;
    std::string milestone = "ready";
};

/// Everything the framework knows about a type of service.
struct ServiceType {
    std::string name;
    /// One line for `svc list` and the reference.
    std::string summary;
    /// Its block's keys beyond the framework's own.
    FieldTable fields;
    /// In the order they are raised; "ready" follows by itself when start returns.
    std::vector<std::string> milestones;
    std::vector<TypeEdge> edges;

    /// Rules between the keys of one block; the kinds and ranges are checked already. May be empty.
    std::function<void(const Block&, Problems&)> check;
    std::function<BlockFacts(const Block&)> facts;
    std::function<std::vector<External>(const Block&)> externals;
    /// Decodes and validates, without I/O. The block lives as long as the service.
    std::function<Result<std::unique_ptr<Service>>(const Block&)> make;
};

/// The types a binary can run. Built by main, handed down; never global.
class ServiceRegistry {
 public:
    /// A second type of the same name is a bug and ends the process.
    void add(ServiceType type);
    const ServiceType* find(std::string_view name) const noexcept;
    /// Sorted.
    std::vector<std::string_view> names() const;
    const std::map<std::string, ServiceType, std::less<>>& types() const noexcept { return types_; }

 private:
    std::map<std::string, ServiceType, std::less<>> types_;
};

}  // namespace skywire::framework
