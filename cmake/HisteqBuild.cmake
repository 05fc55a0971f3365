# Compiler cache, linker, warnings and sanitizers.
find_program(HISTEQ_CCACHE ccache)
if(HISTEQ_CCACHE)
  # Precompiled headers and __DATE__-free sources: without these ccache refuses every file with a PCH.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${HISTEQ_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${HISTEQ_CCACHE})
endif()

find_program(HISTEQ_MOLD mold)
find_program(HISTEQ_LLD ld.lld)
if(HISTEQ_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(HISTEQ_LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_library(histeq_warnings INTERFACE)
target_compile_options(histeq_warnings INTERFACE -Wall -Wextra -Werror)

if(HISTEQ_SANITIZE)
  add_compile_options(-fsanitize=${HISTEQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HISTEQ_SANITIZE})
  add_compile_definitions(HISTEQ_SANITIZED)
  # Headers of libraries that were built without it would lay out their classes for it (protobuf's maps). What the
  # standard library's headers do is right.
  if(HISTEQ_SANITIZE STREQUAL "thread")
    add_compile_options(-U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
  # GCC says of itself that sanitizers make it see faults that are none.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-error=maybe-uninitialized -Wno-error=array-bounds)
  endif()
endif()

# histeq_library(NAME SOURCES ... [PUBLIC lib...] [PRIVATE lib...] [PCH header...])
# One library in libs/: headers under include/, alias histeq::NAME, warnings as errors for its own files only.
function(histeq_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE;PCH" ${ARGN})
  add_library(histeq_${name} STATIC ${ARG_SOURCES})
  add_library(histeq::${name} ALIAS histeq_${name})
  target_include_directories(histeq_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_link_libraries(histeq_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} histeq_warnings)
  if(ARG_PCH)
    target_precompile_headers(histeq_${name} PRIVATE ${ARG_PCH})
  endif()
endfunction()
