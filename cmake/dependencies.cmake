# fmt and nlohmann-json. Debian's packages are taken when they are there
# (libfmt-dev, nlohmann-json3-dev); a pip build brings them as build requirements (pyproject.toml).
find_package(Threads REQUIRED)

set(tricorn_header_roots)
if(TRICORN_PYTHON OR DEFINED SKBUILD)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import sys; print(';'.join(p for p in sys.path if p))"
    OUTPUT_VARIABLE tricorn_python_paths OUTPUT_STRIP_TRAILING_WHITESPACE)
  foreach(root IN LISTS tricorn_python_paths)
    list(APPEND tricorn_header_roots "${root}/cmeel.prefix/include" "${root}/nlohmann_json/include")
  endforeach()
endif()

# The distribution's headers win where both exist: their path is stable, so ccache works over builds.
find_path(TRICORN_FMT_INCLUDE fmt/format.h)
find_path(TRICORN_JSON_INCLUDE nlohmann/json.hpp)
find_path(TRICORN_FMT_INCLUDE fmt/format.h PATHS ${tricorn_header_roots} NO_DEFAULT_PATH)
find_path(TRICORN_JSON_INCLUDE nlohmann/json.hpp PATHS ${tricorn_header_roots} NO_DEFAULT_PATH)
foreach(header IN ITEMS FMT JSON)
  if(NOT TRICORN_${header}_INCLUDE)
    message(FATAL_ERROR "${header} headers not found: apt-get install libfmt-dev nlohmann-json3-dev, "
                        "or pip install cmeel-fmt nlohmann_json")
  endif()
endforeach()

add_library(tricorn_fmt INTERFACE)
target_include_directories(tricorn_fmt SYSTEM INTERFACE "${TRICORN_FMT_INCLUDE}")
# A wheel must not need libfmt.so at run time; builds for tests may, and compile in half the time.
if(NOT DEFINED SKBUILD)
  find_library(TRICORN_FMT_LIBRARY fmt)
endif()
if(TRICORN_FMT_LIBRARY)
  target_link_libraries(tricorn_fmt INTERFACE "${TRICORN_FMT_LIBRARY}")
else()
  target_compile_definitions(tricorn_fmt INTERFACE FMT_HEADER_ONLY=1)
endif()
add_library(tricorn_json INTERFACE)
target_include_directories(tricorn_json SYSTEM INTERFACE "${TRICORN_JSON_INCLUDE}")

if(TRICORN_TESTS)
  find_package(GTest REQUIRED)
endif()
