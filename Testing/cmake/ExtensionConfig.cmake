# Double of the file that describes the extension to the server: what must be set is set.

foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/extension.txt" "${name}=${EXTENSION_${name}}\n")
endforeach()
file(APPEND "${CMAKE_BINARY_DIR}/extension.txt" "NAME=${CMAKE_PROJECT_NAME}\n")
