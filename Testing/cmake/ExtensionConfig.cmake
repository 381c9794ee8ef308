# Double of the file that describes the extension to the server: what must be set is set. Like the original it hands the texts on
# as arguments without quotes, where a semicolon begins the next one.

function(describe name)
  list(LENGTH ARGN count)
  if(count GREATER 1)
    message(FATAL_ERROR "EXTENSION_${name} is cut at its semicolon: ${ARGN}")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/extension.txt" "${name}=${ARGN}\n")
endfunction()

foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  describe(${name} ${EXTENSION_${name}})
endforeach()
file(APPEND "${CMAKE_BINARY_DIR}/extension.txt" "NAME=${CMAKE_PROJECT_NAME}\n")
