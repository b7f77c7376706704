# Builds for glibc 2.17, so that the result runs in any container:
#   cmake -S cuda-intercept/fake -B DIR -DCMAKE_TOOLCHAIN_FILE=<this file>
# ZIG_PYTHON names a Python that has the package ziglang.
set(ZIG_PYTHON "${CMAKE_CURRENT_LIST_DIR}/../../.venv/bin/python" CACHE FILEPATH "Python with ziglang")
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG_PYTHON)
file(WRITE "${CMAKE_BINARY_DIR}/zig-cc" "#!/bin/sh\nexec '${ZIG_PYTHON}' -m ziglang cc -target x86_64-linux-gnu.2.17 \"$@\"\n")
file(WRITE "${CMAKE_BINARY_DIR}/zig-ar" "#!/bin/sh\nexec '${ZIG_PYTHON}' -m ziglang ar \"$@\"\n")
file(WRITE "${CMAKE_BINARY_DIR}/zig-ranlib" "#!/bin/sh\nexec '${ZIG_PYTHON}' -m ziglang ranlib \"$@\"\n")
file(CHMOD "${CMAKE_BINARY_DIR}/zig-cc" "${CMAKE_BINARY_DIR}/zig-ar" "${CMAKE_BINARY_DIR}/zig-ranlib"
     PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
set(CMAKE_C_COMPILER "${CMAKE_BINARY_DIR}/zig-cc")
set(CMAKE_AR "${CMAKE_BINARY_DIR}/zig-ar")
set(CMAKE_RANLIB "${CMAKE_BINARY_DIR}/zig-ranlib")
