# cmake -DINPUT=deployment.json -DOUTPUT=built_in.cpp -P embed.cmake: the file as a string constant.
file(READ "${INPUT}" text)
if(text MATCHES "\\)__file__\"")
    message(FATAL_ERROR "${INPUT} holds the end mark of the literal")
endif()
file(WRITE "${OUTPUT}" "#include \"cli/config_source.hpp\"

namespace skywire::cli {

std::string_view built_in_deployment() noexcept {
    static constexpr std::string_view kText = R\"__file__(${text})__file__\";
    return kText;
}

}  // namespace skywire::cli
")
