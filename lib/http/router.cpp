#include "http/router.hpp"

#include "base/assert.hpp"
#include "http/uri.hpp"

#include <algorithm>
#include <map>

namespace skywire::http {
namespace {

struct Route {
    Method method;
    std::string pattern;
    /// Names of the {name} segments in order; "*" last where the pattern ends in one.
    std::vector<std::string> names;
    Handler handler;
};

/// One place in the tree of segments.
struct Node {
    std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
    std::unique_ptr<Node> any;
    /// Routes that end here, and those whose `*` starts here.
    std::vector<Route> here;
    std::vector<Route> rest;
};

/// A decoded path and where its segments end. An encoded slash (%2F) is part of its segment.
class Segments {
 public:
    explicit Segments(const Request& request) : path_(request.path) {
        const std::string_view raw = target_path(request.target);
        if (raw.find("%2F") == std::string_view::npos && raw.find("%2f") == std::string_view::npos)
            return;
        std::size_t decoded = 0;
        for (std::size_t i = 0; i < raw.size(); ++i, ++decoded) {
            if (raw[i] == '/') slashes_.push_back(decoded);
            if (raw[i] == '%') i += 2;
        }
        // A path that a middleware has replaced is not the target's any more.
        encoded_ = decoded == path_.size();
    }

    bool absolute() const noexcept { return !path_.empty() && path_.front() == '/'; }

    /// Where the segment that starts at `from` ends.
    std::size_t end_of(std::size_t from) const noexcept {
        if (!encoded_) return std::min(path_.find('/', from), path_.size());
        const auto slash = std::lower_bound(slashes_.begin(), slashes_.end(), from);
        return slash == slashes_.end() ? path_.size() : *slash;
    }

    std::string_view cut(std::size_t from, std::size_t to) const noexcept {
        return path_.substr(from, to - from);
    }
    std::size_t size() const noexcept { return path_.size(); }

 private:
    std::string_view path_;
    std::vector<std::size_t> slashes_;
    bool encoded_ = false;
};

/// One look-up: the best route of the method, and the methods of all routes that fit the path.
class Search {
 public:
    Search(const Request& request, const Segments& segments)
        : method_(request.method), segments_(segments) {}

    /// True once a route is found; depth and branches are bounded by the patterns, not by the path.
    bool walk(const Node& node, std::size_t from) {
        const std::size_t to = segments_.end_of(from);
        const std::string_view segment = segments_.cut(from, to);
        if (const auto literal = node.literals.find(segment); literal != node.literals.end()) {
            if (enter(*literal->second, to)) return true;
        }
        if (node.any && !segment.empty()) {
            captured_.push_back(segment);
            if (enter(*node.any, to)) return true;
            captured_.pop_back();
        }
        if (node.rest.empty()) return false;
        captured_.push_back(segments_.cut(from, segments_.size()));
        if (choose(node.rest)) return true;
        captured_.pop_back();
        return false;
    }

    const Route* route() const noexcept { return route_; }
    const std::vector<std::string_view>& captured() const noexcept { return captured_; }
    const std::vector<Method>& allowed() const noexcept { return allowed_; }

 private:
    bool enter(const Node& node, std::size_t end) {
        if (end == segments_.size()) return choose(node.here);
        return walk(node, end + 1);
    }

    bool choose(const std::vector<Route>& routes) {
        const Route* of_get = nullptr;
        for (const Route& route : routes) {
            if (route.method == method_) {
                route_ = &route;
                return true;
            }
            if (route.method == Method::get) of_get = &route;
            if (std::find(allowed_.begin(), allowed_.end(), route.method) == allowed_.end())
                allowed_.push_back(route.method);
        }
        if (method_ == Method::head && of_get != nullptr) route_ = of_get;
        return route_ != nullptr;
    }

    Method method_;
    const Segments& segments_;
    const Route* route_ = nullptr;
    std::vector<std::string_view> captured_;
    std::vector<Method> allowed_;
};

Task<Response> answer(Response response) {
    co_return response;
}

Response method_not_allowed(const std::vector<Method>& allowed) {
    Response response = Response::empty(405);
    std::string names;
    for (const Method method : allowed) {
        if (!names.empty()) names += ", ";
        names += method_name(method);
    }
    response.fields.add("Allow", std::move(names));
    return response;
}

}  // namespace

struct Router::Impl {
    Node root;
    std::vector<Middleware> middlewares;
    /// chain[i] runs middleware i; the last one looks the route up.
    std::vector<Handler> chain;

    Task<Response> run_from(std::size_t index, Request& request) const {
        if (index < middlewares.size()) return middlewares[index](request, chain[index + 1]);
        return dispatch(request);
    }

    Task<Response> dispatch(Request& request) const {
        const Segments segments(request);
        Search search(request, segments);
        if (segments.absolute()) search.walk(root, 1);
        const Route* route = search.route();
        if (route == nullptr) {
            if (search.allowed().empty()) return answer(not_found_page());
            return answer(method_not_allowed(search.allowed()));
        }
        request.params.clear();
        for (std::size_t i = 0; i < route->names.size(); ++i) {
            request.params.insert_or_assign(route->names[i], std::string(search.captured()[i]));
        }
        return route->handler(request);
    }

    void rebuild_chain() {
        chain.clear();
        for (std::size_t i = 0; i <= middlewares.size(); ++i) {
            chain.push_back([this, i](Request& request) { return run_from(i, request); });
        }
    }
};

Router::Router() : impl_(std::make_unique<Impl>()) {
    impl_->rebuild_chain();
}

Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::on(Method method, std::string_view pattern, Handler handler) {
    SKY_ASSERT(!pattern.empty() && pattern.front() == '/');
    Route route{method, std::string(pattern), {}, std::move(handler)};
    Node* node = &impl_->root;
    std::string_view rest = pattern.substr(1);
    for (bool last = false; !last;) {
        const auto slash = rest.find('/');
        last = slash == std::string_view::npos;
        const std::string_view segment = rest.substr(0, slash);
        if (!last) rest.remove_prefix(slash + 1);
        if (segment == "*") {
            SKY_ASSERT(last);
            route.names.emplace_back("*");
            node->rest.push_back(std::move(route));
            return;
        }
        std::unique_ptr<Node>* next = nullptr;
        if (segment.size() > 2 && segment.front() == '{' && segment.back() == '}') {
            route.names.emplace_back(segment.substr(1, segment.size() - 2));
            next = &node->any;
        } else {
            SKY_ASSERT(segment.find_first_of("{}*") == std::string_view::npos);
            next = &node->literals[std::string(segment)];
        }
        if (!*next) *next = std::make_unique<Node>();
        node = next->get();
    }
    node->here.push_back(std::move(route));
}

void Router::use(Middleware middleware) {
    impl_->middlewares.push_back(std::move(middleware));
    impl_->rebuild_chain();
}

Task<Response> Router::handle(Request& request) const {
    return impl_->run_from(0, request);
}

std::string_view Router::pattern_of(const Request& request) const {
    const Segments segments(request);
    Search search(request, segments);
    if (segments.absolute()) search.walk(impl_->root, 1);
    return search.route() == nullptr ? std::string_view()
                                     : std::string_view(search.route()->pattern);
}

}  // namespace skywire::http
