# Double of the packaging: it has to come after the description.

if(NOT EXISTS "${CMAKE_BINARY_DIR}/extension.txt")
  message(FATAL_ERROR "Slicer_EXTENSION_GENERATE_CONFIG has to be included before Slicer_EXTENSION_CPACK")
endif()
