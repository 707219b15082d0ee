# cmake -DFOLDER=page -DFILES=index.html,main.js -DOUTPUT=page.cpp -P embed.cmake: the files as string constants.
string(REPLACE "," ";" files "${FILES}")
set(assets "")
foreach(file IN LISTS files)
    file(READ "${FOLDER}/${file}" text)
    if(text MATCHES "\\)__file__\"")
        message(FATAL_ERROR "${file} holds the end mark of the literal")
    endif()
    set(name "app/${file}")
    if(file MATCHES "\\.html$")
        set(type "text/html; charset=utf-8")
        set(name "${file}")
    elseif(file MATCHES "\\.css$")
        set(type "text/css; charset=utf-8")
    elseif(file MATCHES "\\.svg$")
        set(type "image/svg+xml")
    else()
        set(type "text/javascript; charset=utf-8")
    endif()
    string(APPEND assets "    {\"${name}\", \"${type}\", R\"__file__(${text})__file__\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "#include \"services/network_visualizer/routes.hpp\"

namespace skywire::network_visualizer {
namespace {

constexpr Asset kAssets[] = {
${assets}};

}  // namespace

std::span<const Asset> page_assets() noexcept {
    return kAssets;
}

}  // namespace skywire::network_visualizer
")
