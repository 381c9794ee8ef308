# Double of what find_package(Slicer) brings, as far as a scripted extension uses it: the documented rules of
# slicerMacroBuildScriptedModule (listed files must exist, SCRIPTS may not be empty, WITH_SUBDIR), where things are copied to and
# installed, and the checks of the extension's own variables. Written for this project's tests.

set(Slicer_VERSION "5.12")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/ExtensionConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionPackage.cmake")
