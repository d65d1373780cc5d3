# Flags every target gets. Frame pointers stay: our own profiler and perf need them.
add_library(tricorn_flags INTERFACE)
target_compile_options(tricorn_flags INTERFACE
  -Wall -Wextra -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wconversion>
  -fno-omit-frame-pointer $<$<BOOL:${TRICORN_WERROR}>:-Werror>)
target_compile_definitions(tricorn_flags INTERFACE
  TRICORN_VERSION="${PROJECT_VERSION}" $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>
  $<$<NOT:$<BOOL:${TRICORN_HEARTBEAT}>>:TRICORN_NO_HEARTBEAT>)
if(TRICORN_SANITIZE)
  target_compile_options(tricorn_flags INTERFACE -fsanitize=${TRICORN_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(tricorn_flags INTERFACE -fsanitize=${TRICORN_SANITIZE})
endif()
