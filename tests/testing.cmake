pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# unit_test(NAME SOURCES … ROOMS … [LIBRARIES …]): a cmocka program, run by ctest.
function(unit_test NAME)
  cmake_parse_arguments(TEST "" "" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  add_executable(test_${NAME} ${TEST_SOURCES})
  target_link_libraries(test_${NAME} PRIVATE steno_compile PkgConfig::CMOCKA ${TEST_LIBRARIES})
  target_compile_definitions(test_${NAME} PRIVATE STENO_TEST_DIR="${CMAKE_SOURCE_DIR}/tests")
  program_rooms(test_${NAME} ${TEST_ROOMS})
  add_test(NAME ${NAME} COMMAND test_${NAME})
  set_tests_properties(${NAME} PROPERTIES TIMEOUT 120)
endfunction()

# shipped_test(NAME TARGET): a test that sees more of what is shipped than of a build with sanitizers. CI runs it in both.
function(shipped_test NAME TARGET)
  set_tests_properties(${NAME} PROPERTIES LABELS shipped)
  if(NOT TARGET shipped_tests)
    add_custom_target(shipped_tests)
  endif()
  add_dependencies(shipped_tests ${TARGET})
endfunction()

# fuzz_target(NAME SOURCES … ROOMS … [CORPUS folder]): LLVMFuzzerTestOneInput. With STENO_FUZZ a libFuzzer program
# `fuzz_NAME`; always a replay of its corpus as a unit test `replay_NAME`.
function(fuzz_target NAME)
  cmake_parse_arguments(FUZZ "" "CORPUS" "SOURCES;ROOMS;LIBRARIES" ${ARGN})
  if(STENO_FUZZ)
    add_executable(fuzz_${NAME} ${FUZZ_SOURCES})
    target_compile_options(fuzz_${NAME} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${NAME} PRIVATE -fsanitize=fuzzer)
    target_link_libraries(fuzz_${NAME} PRIVATE steno_compile ${FUZZ_LIBRARIES})
    program_rooms(fuzz_${NAME} ${FUZZ_ROOMS})
    set_target_properties(fuzz_${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  endif()
  if(NOT FUZZ_CORPUS)
    set(FUZZ_CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${NAME})
  endif()
  add_executable(replay_${NAME} ${FUZZ_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
  target_link_libraries(replay_${NAME} PRIVATE steno_compile ${FUZZ_LIBRARIES})
  program_rooms(replay_${NAME} ${FUZZ_ROOMS})
  add_test(NAME replay_${NAME} COMMAND replay_${NAME} ${FUZZ_CORPUS})
  set_tests_properties(replay_${NAME} PROPERTIES TIMEOUT 120)
endfunction()

# The whole house is instrumented for coverage when fuzzing, but for the main() of libFuzzer.
if(STENO_FUZZ)
  target_compile_options(steno_compile INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(steno_compile INTERFACE -fsanitize=fuzzer-no-link)
endif()
