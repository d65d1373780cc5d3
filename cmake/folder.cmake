# One folder of src/ = one static library = one namespace. X.h, X.cc and X_test.cc lie side by side.
#
# tricorn_folder(NAME DEPENDS other folders... LINKS further targets...)
# makes tricorn_NAME from all *.cc and *.c below src/NAME, and NAME_test from its *_test.cc.
# The DEPENDS are the edges tools/check_layers.py holds the includes against.
include(GoogleTest OPTIONAL)
function(tricorn_folder name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINKS" ${ARGN})
  set(dir "${CMAKE_SOURCE_DIR}/src/${name}")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/*.cc" "${dir}/*.c" "${dir}/*.h" "${dir}/*.def")
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS "${dir}/*_test.cc")
  list(REMOVE_ITEM sources ${tests})
  add_library(tricorn_${name} STATIC ${sources})
  set_target_properties(tricorn_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(tricorn_${name} PUBLIC "${CMAKE_SOURCE_DIR}/src")
  list(TRANSFORM ARG_DEPENDS PREPEND tricorn_)
  target_link_libraries(tricorn_${name} PUBLIC ${ARG_DEPENDS} ${ARG_LINKS} tricorn_fmt PRIVATE tricorn_flags)
  if(TRICORN_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE tricorn_${name} tricorn_flags GTest::gtest_main)
    gtest_discover_tests(${name}_test DISCOVERY_TIMEOUT 30)
  endif()
endfunction()
