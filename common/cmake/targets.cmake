# format, lint and the shapes of test programs.
find_program(CLANG_FORMAT clang-format)
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy run-clang-tidy-14)
set(INSIEN_SOURCE_FOLDERS common auth-service sandbox-service gateway migrations tests)
set(find_sources find ${INSIEN_SOURCE_FOLDERS} -name node_modules -prune -o -name "*.[ch]" -print0)
add_custom_target(format
    COMMAND ${find_sources} | xargs -0 ${CLANG_FORMAT} -i
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)
add_custom_target(lint
    COMMAND ${find_sources} | xargs -0 ${CLANG_FORMAT} --dry-run -Werror
    COMMAND ${RUN_CLANG_TIDY} -quiet -p ${CMAKE_BINARY_DIR}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} VERBATIM)

# insien_unit_test(name SOURCES a.c ... LIBS lib ...): one cmocka program, run by CTest.
function(insien_unit_test name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(test_${name} ${arg_SOURCES})
    target_link_libraries(test_${name} PRIVATE ${arg_LIBS} PkgConfig::CMOCKA)
    add_test(NAME ${name} COMMAND test_${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endfunction()

# insien_fuzz_target(name SOURCES a.c ... LIBS lib ...): a libFuzzer program in the Fuzz build; in
# the others the same source with a main() that runs each file of corpus/<name>, as a test.
function(insien_fuzz_target name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(fuzz_${name} ${arg_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBS})
    if(CMAKE_BUILD_TYPE STREQUAL "Fuzz")
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME corpus_${name}
            COMMAND fuzz_${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    endif()
endfunction()
