# Warnings, hardening and sanitizers, the same for every target.

add_library(steno_compile INTERFACE)

configure_file(${PROJECT_SOURCE_DIR}/include/steno/base/version.h.in
               ${PROJECT_BINARY_DIR}/include/steno/base/version.h @ONLY)
target_compile_definitions(steno_compile INTERFACE _GNU_SOURCE G_LOG_USE_STRUCTURED)
target_include_directories(steno_compile INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
target_compile_options(
  steno_compile
  INTERFACE -Wall
            -Wextra
            -Wshadow
            -Wvla
            -Wmissing-prototypes
            -Wstrict-prototypes
            -Wundef
            -Wno-missing-field-initializers
            -fno-strict-aliasing
            -fstack-protector-strong)

if(STENO_WERROR)
  target_compile_options(steno_compile INTERFACE -Werror)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|i.86")
  target_compile_options(steno_compile INTERFACE -fcf-protection)
endif()

if(STENO_SANITIZE)
  target_compile_options(steno_compile INTERFACE -fsanitize=${STENO_SANITIZE} -fno-omit-frame-pointer
                                                 -fno-sanitize-recover=all)
  target_link_options(steno_compile INTERFACE -fsanitize=${STENO_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  # Fortify needs optimisation, and hides what the sanitizers would tell.
  target_compile_options(steno_compile INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()

add_library(steno_program INTERFACE)
target_compile_options(steno_program INTERFACE -fPIE)
target_link_options(steno_program INTERFACE -pie -Wl,-z,relro,-z,now -Wl,--as-needed)
target_link_libraries(steno_program INTERFACE steno_compile)
