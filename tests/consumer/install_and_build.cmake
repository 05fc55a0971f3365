# Installs the library alone, then builds and runs the consumer against the installed copy.
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(library ${WORK}/library)
set(prefix ${WORK}/prefix)
set(consumer ${WORK}/consumer)
file(REMOVE_RECURSE ${library} ${prefix} ${consumer})
set(compilers -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_C_COMPILER=${C} -DCMAKE_BUILD_TYPE=Debug)

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${library} -G ${GENERATOR} ${compilers}
    -DHISTEQ_LIBRARY_ONLY=ON -DHISTEQ_SANITIZE=${SANITIZE} -DCMAKE_INSTALL_PREFIX=${prefix})
run(${CMAKE_COMMAND} --build ${library})
run(${CMAKE_COMMAND} --install ${library})
# Nothing of the source tree or of other libraries comes along.
file(GLOB installed RELATIVE ${prefix} ${prefix}/include/* ${prefix}/lib/*.a ${prefix}/lib/*/*.a)
list(FILTER installed EXCLUDE REGEX "^(include/histeq|lib/([^/]+/)?libhisteq\\.a)$")
if(installed)
  message(FATAL_ERROR "installed beside the library: ${installed}")
endif()

set(flags "")
if(SANITIZE)
  set(flags -DCMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${consumer} -G ${GENERATOR} ${compilers} ${flags}
    -DCMAKE_PREFIX_PATH=${prefix})
run(${CMAKE_COMMAND} --build ${consumer})
run(${consumer}/example)
