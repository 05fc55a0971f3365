// Makes CMake build the precompiled header: test_main.cc itself must not use it.
