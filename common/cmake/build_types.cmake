# Build types: Sanitize (default: ASan and UBSan), Thread (TSan), Release, Fuzz (clang, libFuzzer).
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(INSIEN_BUILD_TYPES Sanitize Thread Release Fuzz)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Sanitize CACHE STRING "one of: ${INSIEN_BUILD_TYPES}" FORCE)
endif()
if(NOT CMAKE_BUILD_TYPE IN_LIST INSIEN_BUILD_TYPES)
    message(FATAL_ERROR "CMAKE_BUILD_TYPE is ${CMAKE_BUILD_TYPE}; use one of: ${INSIEN_BUILD_TYPES}")
endif()

# CMake's own flags for Release would take the asserts out.
set(CMAKE_C_FLAGS_RELEASE "")

add_compile_definitions(_GNU_SOURCE INSIEN_VERSION="${PROJECT_VERSION}")
add_compile_options(
    -g -fno-omit-frame-pointer
    -Werror -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes
    -Wmissing-prototypes -Wundef -Wvla -Wcast-qual -Wwrite-strings -Wimplicit-fallthrough)
# No function of ours stands in for one of the same name that a library means (libjwt's JSON library
# has a json_string too).
set(CMAKE_C_VISIBILITY_PRESET hidden)

# A program loads only the libraries it uses.
add_link_options(-Wl,--as-needed)
include_directories(${PROJECT_SOURCE_DIR})
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# Our names are ours: libjwt would take our json_string for that of its own JSON library.
set(CMAKE_C_VISIBILITY_PRESET hidden)

# Points at which a test kills a process: never in what is deployed for real.
if(CMAKE_BUILD_TYPE STREQUAL "Sanitize")
    option(INSIEN_CRASH_POINTS "Processes may be killed at points of a test's choice" ON)
endif()
if(INSIEN_CRASH_POINTS)
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
        message(FATAL_ERROR "INSIEN_CRASH_POINTS is for tests, not for Release.")
    endif()
    add_compile_definitions(INSIEN_CRASH_POINTS)
endif()

set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
if(CMAKE_BUILD_TYPE STREQUAL "Sanitize")
    add_compile_options(-O1 ${sanitizers})
    add_link_options(${sanitizers})
elseif(CMAKE_BUILD_TYPE STREQUAL "Thread")
    add_compile_options(-O1 -fsanitize=thread)
    add_link_options(-fsanitize=thread)
elseif(CMAKE_BUILD_TYPE STREQUAL "Fuzz")
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "The Fuzz build needs clang: configure with -DCMAKE_C_COMPILER=clang")
    endif()
    add_compile_options(-O1 ${sanitizers} -fsanitize=fuzzer-no-link)
    add_link_options(${sanitizers})
else()
    # -D_FORTIFY_SOURCE and the sanitizers do not mix; asserts stay on in every build.
    add_compile_options(-O2 -D_FORTIFY_SOURCE=3 -fstack-protector-strong
        -fstack-clash-protection -fcf-protection=full)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-ftrivial-auto-var-init=zero)
    endif()
    add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
